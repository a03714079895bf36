//! Certificates and their keys, made and read. The time is an argument, in seconds since the epoch.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// A certificate and its private key, both as PEM. Its `Debug` form does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and others of its chain behind it.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

const DAY: i64 = 24 * 60 * 60;
/// How long an authority lives.
pub const AUTHORITY_LIFE: i64 = 3650 * DAY;
/// How long a serving certificate lives.
pub const SERVING_LIFE: i64 = 90 * DAY;
/// A certificate holds since a while before it was made: clocks of other machines may be behind.
const CLOCKS_APART: i64 = 60 * 60;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate")]
pub struct Error(#[from] rcgen::Error);

/// A new authority, which signs serving certificates and nothing else.
///
/// # Errors
///
/// [`Error`] where the system gives no randomness.
pub fn authority(now: i64) -> Result<Pair, Error> {
    // Two authorities that overlap must differ in name, or a verifier may look for a signature with the wrong key.
    let mut params = named(&format!("ipam-controller authority {now}"), now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// A new serving certificate for these DNS names and IP addresses, signed by `authority`.
///
/// # Errors
///
/// [`Error`] where `authority` is none, or a name cannot stand in a certificate.
pub fn serving(authority: &Pair, names: &[String], now: i64) -> Result<Pair, Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let common_name = names.first().map_or("ipam-controller", String::as_str);
    // A common name has at most 64 characters; verifiers read the alternative names anyway.
    let common_name: String = common_name.chars().take(64).collect();
    let mut params = named(&common_name, now, SERVING_LIFE)?;
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

/// A subject and dates of its own for each certificate: the defaults give all the same, from 1975 to 4096.
fn named(common_name: &str, now: i64, life: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let at = |second: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(second).unwrap_or_default())
    };
    params.not_before = at(now - CLOCKS_APART);
    params.not_after = at(now + life);
    Ok(params)
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who it is of.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Since when it holds.
    pub from: i64,
    /// Until when it holds.
    pub until: i64,
    /// Its DNS names, sorted.
    pub names: Vec<String>,
    /// It may sign others.
    pub signs: bool,
    public_key: Vec<u8>,
}

impl Facts {
    /// What the first certificate of a PEM text says; `None` if it is none.
    pub fn of(pem: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
        Self::of_der(&pem.contents)
    }

    /// What a certificate says in binary form; `None` if it is none.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
        let mut names: Vec<String> = alternatives.iter().filter_map(dns_name).collect();
        names.sort_unstable();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
            names,
            signs: certificate.is_ca(),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }

    /// `key` is the private key of the certificate.
    pub fn fits(&self, key: &str) -> bool {
        KeyPair::from_pem(key).is_ok_and(|key| key.subject_public_key_info() == self.public_key)
    }

    /// Less than a third of its life is left, or it does not hold yet.
    pub fn is_due(&self, now: i64) -> bool {
        let third = (self.until - self.from) / 3;
        now < self.from || self.until.saturating_sub(now) < third
    }

    /// It does not hold at this time.
    pub fn is_over(&self, now: i64) -> bool {
        now < self.from || now > self.until
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

/// The certificates in a PEM text, one PEM text each.
pub fn certificates(bundle: &str) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let parts = bundle.split(BEGIN).skip(1);
    let bodies = parts.filter_map(|part| part.split_once(END)).map(|(body, _)| body);
    bodies.map(|body| format!("{BEGIN}{body}{END}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{CertificateError, Error as Verdict, RootCertStore};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// What a client that trusts `authority` says of a serving certificate.
    fn verify(authority: &Pair, serving: &Pair, name: &str, at: i64) -> Result<(), Verdict> {
        let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(authority)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().unwrap()));
        verifier.verify_server_cert(&der(serving), &[], &name, &[], at).map(|_| ())
    }

    fn names() -> Vec<String> {
        ["s.ns.svc", "s.ns", "127.0.0.1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_client_that_trusts_the_authority_takes_the_serving_certificate_for_its_names_and_life() {
        let authority = authority(NOW).unwrap();
        let serving = serving(&authority, &names(), NOW).unwrap();
        for name in ["s.ns.svc", "s.ns", "127.0.0.1"] {
            for at in [NOW - 60, NOW, NOW + SERVING_LIFE] {
                assert_eq!(verify(&authority, &serving, name, at), Ok(()), "{name} {at}");
            }
        }
        assert!(verify(&authority, &serving, "other.ns.svc", NOW).is_err());
        let expired = verify(&authority, &serving, "s.ns", NOW + SERVING_LIFE + 1).unwrap_err();
        assert!(matches!(
            expired,
            Verdict::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
        ));
        let other = super::authority(NOW + 1).unwrap();
        assert!(verify(&other, &serving, "s.ns", NOW).is_err());
    }

    #[test]
    fn what_was_made_can_be_read_again() {
        let authority = authority(NOW).unwrap();
        let serving = serving(&authority, &names(), NOW).unwrap();
        let (ca, leaf) =
            (Facts::of(&authority.certificate).unwrap(), Facts::of(&serving.certificate).unwrap());
        assert_eq!(leaf.issuer, ca.subject);
        assert_ne!(leaf.subject, ca.subject);
        assert_eq!(leaf.names, ["s.ns", "s.ns.svc"]);
        assert_eq!((leaf.from, leaf.until), (NOW - CLOCKS_APART, NOW + SERVING_LIFE));
        assert!(ca.signs && !leaf.signs);
        assert!(leaf.fits(&serving.key) && !leaf.fits(&authority.key) && !leaf.fits("nonsense"));
        assert_eq!(Facts::of("nonsense"), None);
    }

    #[test]
    fn a_certificate_is_due_when_a_third_of_its_life_is_left() {
        let authority = authority(NOW).unwrap();
        let leaf = Facts::of(&serving(&authority, &names(), NOW).unwrap().certificate).unwrap();
        assert!(!leaf.is_due(NOW) && !leaf.is_due(NOW + 59 * DAY));
        assert!(leaf.is_due(NOW + 61 * DAY) && leaf.is_due(NOW + 1000 * DAY));
        assert!(leaf.is_due(NOW - DAY), "made by a clock that was ahead");
        assert!(!leaf.is_over(NOW + 61 * DAY) && leaf.is_over(NOW + 91 * DAY));
    }

    #[test]
    fn keys_are_not_shown() {
        let authority = authority(NOW).unwrap();
        assert!(!format!("{authority:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_bundle_falls_into_its_certificates() {
        let (one, two) = (authority(NOW).unwrap().certificate, authority(NOW + 1).unwrap().certificate);
        let bundle = format!("# comment\n{one}{two}");
        let parts = certificates(&bundle);
        let subjects: Vec<_> = parts.iter().map(|part| Facts::of(part).unwrap().subject).collect();
        assert_eq!(subjects, [Facts::of(&one).unwrap().subject, Facts::of(&two).unwrap().subject]);
    }
}
