//! How connections are secured.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::pki::Pair;

/// What of TLS a server with this certificate and key speaks. Whoever runs the process says it, by its flags.
pub type Handshake = Arc<
    dyn Fn(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error>
        + Send
        + Sync,
>;

/// TLS from 1.2 on, with all that is good in it, by ring whatever else is compiled in; and HTTP/1.1 above it.
pub fn usual_handshake() -> Handshake {
    Arc::new(|chain, key| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    })
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// The certificate or the key is no PEM.
    #[error("the certificate or its key is no valid PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The two do not fit, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// A server's side of TLS with this certificate.
pub(super) fn server_config(pair: &Pair, handshake: &Handshake) -> Result<ServerConfig, Unusable> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(Unusable::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(Unusable::Pem)?;
    handshake(chain, key).map_err(Unusable::Pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::pki;

    fn pair() -> Pair {
        let authority = pki::authority(1_800_000_000).unwrap();
        pki::serving(&authority, &["localhost".to_owned()], 1_800_000_000).unwrap()
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        assert!(server_config(&pair(), &usual_handshake()).is_ok());
        let mixed = Pair { key: pair().key, ..pair() };
        assert!(matches!(server_config(&mixed, &usual_handshake()), Err(Unusable::Pair(_))));
        let none = Pair { certificate: String::new(), key: String::new() };
        assert!(matches!(server_config(&none, &usual_handshake()), Err(Unusable::Pem(_))));
    }
}
