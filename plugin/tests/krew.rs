//! What krew asks of a plugin's manifest, held against the one that a release writes.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The manifest for archives of these platforms, each with a sum of its own.
fn rendered(platforms: &[&str]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    for (n, platform) in platforms.iter().enumerate() {
        let archive = format!("kubectl-ipam-{VERSION}-{platform}.tar.gz");
        let sum = format!("{n:064x}  {archive}\n");
        std::fs::write(folder.path().join(format!("{archive}.sha256")), sum).unwrap();
    }
    let script = root().join("config/release/krew.sh");
    let output = Command::new(script)
        .arg(folder.path())
        .args([VERSION, "https://example.org/owner/ipam"])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    Ok(serde_saphyr::from_slice(&output.stdout).unwrap())
}

const ALL: [&str; 4] = ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"];

#[test]
fn the_manifest_is_one_that_krew_takes() {
    let manifest = rendered(&ALL).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(manifest["kind"], "Plugin");
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], VERSION);
    assert!(spec["homepage"].as_str().unwrap().starts_with("https://"));
    let short = spec["shortDescription"].as_str().unwrap();
    // One line of `kubectl krew search`, which says of each plugin that it is one for kubectl.
    assert!(!short.is_empty() && short.len() <= 50 && !short.contains('\n'), "{short}");
    assert!(!short.to_lowercase().contains("kubectl") && !short.ends_with('.'), "{short}");
    for text in ["description", "caveats"] {
        let widest = spec[text].as_str().unwrap().lines().map(str::len).max().unwrap();
        assert!((1..=100).contains(&widest), "{text}: {widest}");
    }
}

#[test]
fn the_name_is_what_follows_kubectl_in_small_letters() {
    let manifest = rendered(&ALL).unwrap();
    let name = manifest["metadata"]["name"].as_str().unwrap();
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
    assert!(!name.starts_with("kubectl") && !name.starts_with("kube-"), "{name}");
    for platform in manifest["spec"]["platforms"].as_array().unwrap() {
        assert_eq!(platform["bin"], format!("kubectl-{name}"));
    }
}

#[test]
fn each_platform_is_chosen_by_one_selector_and_has_its_own_archive_and_sum() {
    let manifest = rendered(&ALL).unwrap();
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), ALL.len());
    let mut seen = BTreeSet::new();
    for (n, platform) in platforms.iter().enumerate() {
        let labels = platform["selector"]["matchLabels"].as_object().unwrap();
        let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(keys, ["arch", "os"]);
        let place = format!("{}-{}", labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap());
        assert_eq!(place, ALL[n]);
        assert_eq!(
            platform["uri"],
            format!(
                "https://example.org/owner/ipam/releases/download/{VERSION}/kubectl-ipam-{VERSION}-{place}.tar.gz"
            )
        );
        assert_eq!(platform["sha256"], format!("{n:064x}"));
        assert!(platform["files"].is_null(), "all of the archive is installed, the license too");
        assert!(seen.insert(place));
    }
}

#[test]
fn a_platform_without_an_archive_is_left_out_and_an_unknown_one_refused() {
    let manifest = rendered(&["linux-arm64"]).unwrap();
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 1);
    assert_eq!(platforms[0]["selector"]["matchLabels"]["arch"], "arm64");
    assert_eq!(rendered(&["plan9-mips"]).unwrap_err(), "error: krew.yaml has no platform plan9-mips\n");
    assert!(rendered(&[]).unwrap_err().starts_with("error: there is no archive of v"));
}

#[test]
fn every_word_of_the_template_is_filled_in() {
    let text = rendered(&ALL).unwrap().to_string();
    assert!(!text.contains('@'), "{text}");
    let template = std::fs::read_to_string(root().join("krew.yaml")).unwrap();
    for platform in ALL {
        assert!(template.contains(&format!("#begin {platform}\n")), "{platform}");
    }
}
