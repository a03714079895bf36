//! Flags of the controller, judged by the controller's own reading of them.

use clap::{CommandFactory, Parser};
use ipam::args::Args;

use crate::error::{Error, Kind};
use crate::suggest::did_you_mean;

/// Flags that other objects have to agree with.
const BOUND: [(&str, &str); 4] = [
    ("webhook-port", "the Service for admission and the Deployment's ports"),
    ("webhook-host", "the Service for admission"),
    ("health-addr", "the Deployment's probes"),
    ("diagnostics-address", "the Service for metrics and the Deployment's ports"),
];

/// One flag with its value, as `--set` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    name: String,
    value: String,
}

impl Flag {
    /// Reads `NAME=VALUE`; the hyphens of the command line may stand before the name.
    pub fn read(text: &str) -> Result<Self, Error> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Error::new(Kind::Usage, format!("--set {text} has no value"))
                .hint(format!("write --set {text}=VALUE; a switch is true or false")));
        };
        let name = name.trim_start_matches('-');
        let known = known();
        if !known.iter().any(|known| known == name) {
            let near = did_you_mean(name, known.iter().map(String::as_str));
            return Err(Error::new(Kind::Usage, format!("the controller has no flag `{name}`"))
                .hint(near.unwrap_or_else(|| format!("it has {}", known.join(", ")))));
        }
        if let Some((_, with)) = BOUND.iter().find(|(bound, _)| *bound == name) {
            return Err(Error::new(Kind::Usage, format!("`{name}` cannot be set alone"))
                .caused_by(format!("{with} have to agree with it"))
                .hint("change all of them with kustomize, over config/default"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Puts the flag in the place of the one of its name, or at the end.
    pub fn put_into(&self, arguments: &mut Vec<String>) {
        let text = format!("--{}={}", self.name, self.value);
        match arguments.iter_mut().find(|argument| name_of(argument) == self.name) {
            Some(argument) => *argument = text,
            None => arguments.push(text),
        }
    }
}

fn name_of(argument: &str) -> &str {
    argument.trim_start_matches('-').split('=').next().unwrap_or_default()
}

/// The names of the controller's flags.
fn known() -> Vec<String> {
    let command = Args::command();
    command.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned).collect()
}

/// Whether the controller would start with these arguments, in so many replicas.
pub fn check(arguments: &[String], replicas: u64) -> Result<(), Error> {
    let refused = || Error::new(Kind::Usage, "the controller would not start with these flags");
    let line = std::iter::once("ipam-controller").chain(arguments.iter().map(String::as_str));
    let read = Args::try_parse_from(line).map_err(|error| refused().caused_by(first_line(&error)))?;
    read.check().map_err(|error| refused().caused_by(error))?;
    if replicas > 1 && !read.elects() {
        return Err(Error::new(Kind::Usage, format!("{replicas} replicas would all write"))
            .caused_by("--leader-elect is off")
            .hint("--replicas 1 goes without a leader; for more, leave --leader-elect on"));
    }
    Ok(())
}

/// What is wrong, without the advice of another program's command line.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Flag::read(text).unwrap_err().report()
    }

    #[test]
    fn a_flag_that_the_controller_does_not_know_is_refused_with_the_one_that_is_meant() {
        assert_eq!(
            refusal("leader-elct=true"),
            "error: the controller has no flag `leader-elct`\nhint: did you mean `leader-elect`?\n"
        );
        assert!(refusal("nonsense=1").contains("hint: it has namespace, watch-filter, "));
        assert!(refusal("watch-filter").contains("hint: write --set watch-filter=VALUE"));
    }

    #[test]
    fn a_flag_that_other_objects_depend_on_is_refused() {
        assert!(refusal("webhook-port=1").starts_with("error: `webhook-port` cannot be set alone\n"));
        for (name, _) in BOUND {
            assert!(known().iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn a_value_that_the_controller_does_not_take_is_refused_in_its_words() {
        let refused = |argument: &str| check(&[argument.to_owned()], 1).unwrap_err().report();
        assert_eq!(
            refused("--leader-elect=maybe"),
            "error: the controller would not start with these flags\n  because: invalid value 'maybe' for \
             '--leader-elect[=<BOOL>]': a switch is true or false\n"
        );
        assert!(refused("--tls-min-version=1").contains("--tls-min-version"));
    }
}
