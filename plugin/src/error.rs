//! What went wrong, what it means for the exit code, and the way out.

use std::error::Error as StdError;
use std::process::ExitCode;

/// What kind of failure it is; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// It was asked for in a wrong way.
    Usage,
    /// What was waited for did not come in time.
    TimedOut,
    /// A person broke it off.
    Interrupted,
}

/// A failure, as a person sees it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hints: Vec<String>,
}

impl Error {
    /// A failure of this kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None, hints: Vec::new() }
    }

    /// The same failure, with its cause.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same failure, with a way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// 1 failed, 2 usage, 124 timed out, 130 interrupted.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::TimedOut => 124,
            Kind::Interrupted => 130,
        })
    }

    /// `error:`, the causes that say something new, and `hint:` lines.
    pub fn report(&self) -> String {
        let mut lines = vec![format!("error: {}", self.what)];
        let mut said = self.what.clone();
        let mut cause = self.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                lines.push(format!("  because: {text}"));
                said = text;
            }
            cause = error.source();
        }
        lines.extend(self.hints.iter().map(|hint| format!("hint: {hint}")));
        lines.join("\n") + "\n"
    }
}

/// A failed request, in terms of what was to be done: `doing` is a verb phrase such as "list ippools".
pub fn api(doing: &str, error: kube::Error) -> Error {
    let what = format!("cannot {doing}");
    match &error {
        kube::Error::Api(status) if status.code == 403 => Error::new(Kind::Failed, what)
            .hint("your account lacks this permission; the message names verb and resource")
            .caused_by(status.message.clone()),
        kube::Error::Api(status) if status.code == 404 && status.reason != "NotFound" => {
            Error::new(Kind::Failed, what)
                .hint("the IPAM kinds are not installed in this cluster: `kubectl apply -k config/crd`")
                .caused_by(status.message.clone())
        }
        kube::Error::Api(status) => Error::new(Kind::Failed, what).caused_by(status.message.clone()),
        _ => Error::new(Kind::Failed, what)
            .hint("`kubectl version` shows whether the API server answers; --kubeconfig and --context name another")
            .caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_said_already_is_left_out() {
        let error =
            Error::new(Kind::Failed, "cannot list ippools: no route").caused_by("no route").hint("look");
        assert_eq!(error.report(), "error: cannot list ippools: no route\nhint: look\n");
    }
}
