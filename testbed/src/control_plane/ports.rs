//! Ports that stay ours between two runs of the same server.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// Below the range from which the kernel takes ports of outgoing connections: while a server is down, a client that
/// keeps trying would sooner or later be given the server's own port, connect to itself, and keep the port taken.
const WANTED: Range<u16> = 12_000..30_000;

/// A port of 127.0.0.1 on which nothing listens. Another process may take it before it is used: try again then.
///
/// # Errors
/// No port can be had.
pub fn free() -> io::Result<u16> {
    let range = WANTED.start..WANTED.end.min(first_ephemeral().unwrap_or(WANTED.end));
    for _ in 0..100 {
        // Where the kernel's range leaves no room below, any port has to do.
        let port = if range.len() < 1_000 { 0 } else { rand::random_range(range.clone()) };
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?.port());
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn first_ephemeral() -> Option<u16> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_is_not_one_of_outgoing_connections() {
        let ports: Vec<u16> = (0..10).map(|_| free().unwrap()).collect();
        // A child that another test starts at that moment has the listener open too, until it is another program.
        assert!(
            ports.iter().any(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()),
            "{ports:?}"
        );
        assert!(ports.iter().all(|port| WANTED.contains(port)), "{ports:?}");
    }
}
