//! What of TLS is spoken, by the names that Go gives it.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};

/// What of TLS is spoken.
#[derive(Clone, Debug)]
pub struct TlsPolicy {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// A flag, and what is wrong with its value.
type Refused = (&'static str, String);

impl TlsPolicy {
    /// Versions from `lowest` up, and of TLS 1.2 these suites alone, or all where none is named. As in Go, those of
    /// TLS 1.3 are always offered. Returned besides are suites that Go has and that are too weak to be offered here.
    ///
    /// # Errors
    /// The flag whose value is none of Go's names.
    pub fn new(lowest: &str, suites: &[String]) -> Result<(Self, Vec<String>), Refused> {
        let versions = match lowest {
            "VersionTLS10" | "VersionTLS11" => {
                tracing::info!("--tls-min-version {lowest} means VersionTLS12 here: what is older is broken");
                vec![&TLS13, &TLS12]
            }
            "" | "VersionTLS12" => vec![&TLS13, &TLS12],
            "VersionTLS13" => vec![&TLS13],
            _ => {
                let why = format!("`{lowest}` is no version of TLS; write VersionTLS12 or VersionTLS13");
                return Err(("--tls-min-version", why));
            }
        };
        let (mut wanted, mut weak) = (Vec::new(), Vec::new());
        for name in suites.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            match STRONG.iter().find(|(strong, _)| *strong == name) {
                Some((_, suite)) => wanted.push(*suite),
                None if WEAK.contains(&name) => weak.push(name.to_owned()),
                None => return Err(("--tls-cipher-suites", unknown(name))),
            }
        }
        let mut provider = ring::default_provider();
        if !(wanted.is_empty() && weak.is_empty()) {
            provider.cipher_suites.retain(|one| one.tls13().is_some() || wanted.contains(&one.suite()));
        }
        Ok((Self { provider: Arc::new(provider), versions }, weak))
    }

    /// A server with this certificate.
    ///
    /// # Errors
    /// Certificate and key are not of each other.
    pub fn server(
        &self,
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_protocol_versions(&self.versions)?.with_no_client_auth();
        let mut config = builder.with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = STRONG.iter().map(|(name, _)| *name).collect();
    format!("`{name}` is no cipher suite; there are {}", names.join(", "))
}

/// Go's names of what is offered here.
const STRONG: [(&str, CipherSuite); 11] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Go's names of what is not: without forward secrecy, or with a cipher that is broken.
const WEAK: [&str; 16] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(lowest: &str, suites: &[&str]) -> Result<(TlsPolicy, Vec<String>), Refused> {
        let suites: Vec<String> = suites.iter().map(|&suite| suite.to_owned()).collect();
        TlsPolicy::new(lowest, &suites)
    }

    fn suites(policy: &TlsPolicy) -> usize {
        policy.provider.cipher_suites.len()
    }

    #[test]
    fn suites_of_tls_1_2_are_limited_and_those_of_1_3_are_not() {
        let (all, _) = policy("VersionTLS12", &[]).unwrap();
        assert_eq!((suites(&all), all.versions.len()), (9, 2));
        let (one, weak) = policy("VersionTLS12", &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]).unwrap();
        assert_eq!((suites(&one), weak.len()), (4, 0));
        let (none, weak) = policy("VersionTLS13", &["TLS_RSA_WITH_RC4_128_SHA"]).unwrap();
        assert_eq!((suites(&none), none.versions.len(), weak.len()), (3, 1, 1));
    }

    #[test]
    fn unknown_names_are_refused_with_their_flag_and_a_way_out() {
        let (flag, why) = policy("TLS1.2", &[]).unwrap_err();
        assert!(flag == "--tls-min-version" && why.contains("`TLS1.2`") && why.contains("VersionTLS12"));
        let (flag, why) = policy("", &["AES"]).unwrap_err();
        assert!(flag == "--tls-cipher-suites" && why.contains("`AES`") && why.contains("TLS_AES_128"));
    }
}
