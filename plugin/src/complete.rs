//! What comes next on the command line: flags and verbs from their definitions, names from the cluster.
//!
//! A shell waits for the answer, so nothing here asks, complains or takes long: what cannot be told in time is left
//! out.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};
use ipam::api::{Family, Kind};

use crate::cluster::{Cluster, Connection};
use crate::output::line;
use crate::world::{Raw, Scope};

/// What kubectl calls to complete the words after `kubectl ipam`.
pub const HELPER: &str = "kubectl_complete-ipam";
/// A shell's patience.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Whether this process was called by kubectl to complete: the name it was called by says so.
pub fn is_helper(called: Option<&OsString>) -> bool {
    called.and_then(|called| Path::new(called).file_stem()).is_some_and(|stem| stem == HELPER)
}

/// Prints candidates as kubectl reads them: `value<TAB>description`, and at last a directive (4: no file names).
pub fn help_kubectl(words: impl Iterator<Item = OsString>) {
    let mut all = vec![OsString::from("kubectl-ipam")];
    all.extend(words);
    if all.len() == 1 {
        all.push(OsString::new());
    }
    let last = all.len() - 1;
    let mut command = crate::Cli::command().bin_name("kubectl-ipam");
    for candidate in complete(&mut command, all, last, None).unwrap_or_default() {
        if candidate.is_hide_set() {
            continue;
        }
        let value = candidate.get_value().to_string_lossy();
        match candidate.get_help().map(ToString::to_string) {
            Some(help) => {
                line(format_args!("{value}\t{}", help.lines().next().unwrap_or_default()));
            }
            None => line(format_args!("{value}")),
        }
    }
    line(format_args!(":4"));
}

/// The pools of the namespace that the line names.
pub fn pools() -> ArgValueCandidates {
    ArgValueCandidates::new(|| names(&[Kind::Pool]))
}

/// The claims, of either kind.
pub fn claims() -> ArgValueCandidates {
    ArgValueCandidates::new(|| names(&[Kind::Claim(Family::Metal3), Kind::Claim(Family::Capi)]))
}

/// The Clusters of Cluster API.
pub fn clusters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| names(&[Kind::Cluster]))
}

fn names(kinds: &[Kind]) -> Vec<CompletionCandidate> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, list(kinds)).await });
    found.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

async fn list(kinds: &[Kind]) -> Vec<String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(connection) = connection(&words) else { return Vec::new() };
    let Ok(cluster) = connection.open().await else { return Vec::new() };
    let mut names = Vec::new();
    for kind in kinds {
        names.extend(of(&cluster, *kind).await);
    }
    names
}

async fn of(cluster: &Cluster, kind: Kind) -> Vec<String> {
    let mut names = Vec::new();
    let listed = cluster
        .each(kind, &Scope::of(&cluster.namespace), |raw: Raw| names.push(raw.metadata.name.owned()))
        .await;
    if listed.is_ok() { names } else { Vec::new() }
}

/// The flags of the line that say which cluster is meant; the rest of the line is not complete and may be anything.
fn connection(words: &[String]) -> Option<Connection> {
    let command = Connection::augment_args(clap::Command::new("connection"));
    let (has_own_cluster, mut given) = (has_own_cluster(words), vec!["connection".to_owned()]);
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        let is = |arg: &&clap::Arg| {
            arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long))
                || arg.get_short().is_some_and(|short| *name == format!("-{short}"))
        };
        let Some(arg) = command.get_arguments().find(is) else { continue };
        given.push(word.clone());
        if arg.get_action().takes_values() && !word.contains('=') {
            given.push(words.next()?.clone());
        }
    }
    let matches = command.try_get_matches_from(given).ok()?;
    let mut connection = Connection::from_arg_matches(&matches).ok()?;
    if has_own_cluster {
        connection.without_cluster();
    }
    Some(connection)
}

/// Whether `--cluster` is a flag of the line's verb, which is the first word that is one.
fn has_own_cluster(words: &[String]) -> bool {
    let cli = crate::Cli::command();
    let verb = words.iter().find_map(|word| cli.find_subcommand(word));
    verb.is_some_and(|verb| verb.get_arguments().any(|arg| arg.get_id() == "cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_that_say_which_cluster_are_found_in_an_unfinished_line() {
        let line = [
            "ipam",
            "claim",
            "c",
            "--pool",
            "p",
            "-n",
            "ns",
            "--context=x",
            "--as",
            "me",
            "--insecure-skip-tls-verify",
            "--ip",
        ];
        let connection = connection(&line.map(str::to_owned)).unwrap();
        let shown = format!("{connection:?}");
        for part in
            ["namespace: Some(\"ns\")", "context: Some(\"x\")", "impersonate: Some(\"me\")", "verify: true"]
        {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_cluster_of_cluster_api_is_none_of_the_kubeconfig() {
        let shown = |line: &[&str]| {
            let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            format!("{:?}", connection(&words).unwrap())
        };
        assert!(shown(&["ipam", "claims", "--cluster", "k"]).contains("cluster: Some(\"k\")"));
        for verb in ["create-pool", "pause", "resume"] {
            assert!(shown(&["ipam", verb, "--cluster", "k", "-n", "ns"]).contains("cluster: None"), "{verb}");
        }
    }

    #[test]
    fn the_helper_is_told_by_its_name() {
        assert!(is_helper(Some(&"/usr/bin/kubectl_complete-ipam".into())));
        assert!(!is_helper(Some(&"/usr/bin/kubectl-ipam".into())));
        assert!(!is_helper(None));
    }
}
