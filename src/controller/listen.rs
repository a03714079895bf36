//! Where the process listens, in Go's spelling, and the servers behind it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;

use crate::admission::Bounds;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere: `0`, or nothing.
    Off,
    /// On this port of all addresses: `:9440`. Port 0 is any free one.
    Port(u16),
    /// On this port of these addresses: `127.0.0.1:9440`, `[::1]:9440`, `localhost:9440`.
    Host(String, u16),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is no address to listen on; write host:port or :port, such as :9440, or 0 for none"
            )
        };
        if text.is_empty() || text == "0" {
            return Ok(Self::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        if host.is_empty() {
            return Ok(Self::Port(port));
        }
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = v6.unwrap_or(host);
        if v6.is_none() && host.contains([':', '[', ']']) {
            return Err(refused());
        }
        Ok(Self::Host(host.to_owned(), port))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::Port(port) => write!(f, ":{port}"),
            Self::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl Listen {
    /// Binds the port; none where nothing is to be served.
    pub(super) fn bind(&self) -> io::Result<Option<TcpListener>> {
        let listener = match self {
            Self::Off => return Ok(None),
            // One socket takes both families; a machine without IPv6 has only the other.
            Self::Port(port) => TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).or_else(|error| {
                if error.kind() == io::ErrorKind::AddrInUse {
                    return Err(error);
                }
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port))
            })?,
            Self::Host(host, port) => TcpListener::bind((host.as_str(), *port))?,
        };
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }
}

/// Serves plain HTTP for ever.
pub(super) async fn serve(listener: TcpListener, bounds: Bounds, router: Router) -> io::Result<()> {
    let server = bounds.around(axum_server::from_tcp(listener)?);
    server.serve(router.into_make_service()).await
}

/// Serves HTTPS for ever.
pub(super) async fn serve_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    router: Router,
) -> io::Result<()> {
    let config = RustlsConfig::from_config(config);
    let server = Bounds::default().around(axum_server::from_tcp_rustls(listener, config)?);
    server.serve(router.into_make_service()).await
}

/// Where a bound port is, for the log.
pub(super) fn place(listener: &TcpListener) -> String {
    listener.local_addr().as_ref().map(SocketAddr::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_writes_them() {
        let host = |host: &str, port| Ok(Listen::Host(host.into(), port));
        for (text, expected) in [
            ("", Ok(Listen::Off)),
            ("0", Ok(Listen::Off)),
            (":0", Ok(Listen::Port(0))),
            (":9440", Ok(Listen::Port(9440))),
            ("127.0.0.1:80", host("127.0.0.1", 80)),
            ("[::1]:80", host("::1", 80)),
            ("localhost:80", host("localhost", 80)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
            if let (Ok(listen), false) = (expected, text.is_empty()) {
                assert_eq!(listen.to_string(), text);
            }
        }
        for text in ["9440", "::1:80", ":http", ":70000", "host"] {
            assert!(text.parse::<Listen>().unwrap_err().contains(text), "{text}");
        }
    }
}
