//! Keys, certificates and tokens of one control plane.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{kubeconfig::Credentials, layout::Layout};
use crate::Error;

/// Writes what [`Layout`] names: the CA, the serving certificate, the key of ServiceAccount tokens, and the token file.
/// Returns what the administrator needs.
pub(super) fn write(layout: &Layout) -> Result<Credentials, Error> {
    let (ca, issuer) = authority().map_err(Error::Certificates)?;
    let (serving, serving_key) = serving(&issuer).map_err(Error::Certificates)?;
    let accounts_key = KeyPair::generate().map_err(Error::Certificates)?;
    let token = format!("{:032x}", rand::random::<u128>());
    write_private(&layout.ca(), &ca.pem())?;
    write_private(&layout.serving_certificate(), &serving)?;
    write_private(&layout.serving_key(), &serving_key.serialize_pem())?;
    write_private(&layout.accounts_key(), &accounts_key.serialize_pem())?;
    write_private(&layout.accounts_public_key(), &accounts_key.public_key_pem())?;
    write_private(&layout.tokens(), &format!("{token},testbed-admin,testbed-admin,system:masters\n"))?;
    Ok(Credentials { authority: ca.der().to_vec(), token })
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        std::io::Write::write_all(&mut file, content.as_bytes())
    };
    write().map_err(Error::file("write", path))
}

fn authority() -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = named("testbed CA")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

fn serving(issuer: &Issuer<'static, KeyPair>) -> Result<(String, KeyPair), rcgen::Error> {
    let mut params = named("kube-apiserver")?;
    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    params.subject_alt_names = CertificateParams::new(names.map(String::from))?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key))
}

/// A subject of its own for each certificate, and years that every verifier can read: the defaults have neither.
fn named(common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    Ok(params)
}
