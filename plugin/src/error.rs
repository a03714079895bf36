//! What went wrong, what it means for the exit code, and the way out.

use std::error::Error as StdError;
use std::process::ExitCode;

use crate::output::plain;

/// What kind of failure it is; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// It was looked for, and found: a verdict, not an error.
    Found,
    /// It was asked for in a wrong way.
    Usage,
    /// What was to be judged could not be seen.
    Blind,
    /// What was waited for did not come in time.
    TimedOut,
    /// A person broke it off.
    Interrupted,
}

/// What the exit code says.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  it failed, or `check` found something
    2  wrong usage, or `check` could not look
  124  the wait timed out
  130  interrupted";

/// A failure, as a person sees it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hints: Vec<String>,
    may_pass: bool,
}

impl Error {
    /// A failure of this kind.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None, hints: Vec::new(), may_pass: false }
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

    /// The same failure, with a way out if there is one.
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The same failure, which may pass by itself.
    pub fn passing(self) -> Self {
        Self { may_pass: true, ..self }
    }

    /// The same failure, of another kind.
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same may work if it is tried again a little later.
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// As [`EXIT_CODES`] says.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed | Kind::Found => 1,
            Kind::Usage | Kind::Blind => 2,
            Kind::TimedOut => 124,
            Kind::Interrupted => 130,
        })
    }

    /// `error:`, the causes that say something new, and `hint:` lines.
    pub fn report(&self) -> String {
        let head = if self.kind == Kind::Found { "" } else { "error: " };
        let mut lines = vec![format!("{head}{}", self.what)];
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
        plain(&lines.join("\n")).into_owned() + "\n"
    }

    /// The failure in one line, where it is only a part of an answer.
    pub fn line(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.what),
            None => self.what.clone(),
        }
    }
}

/// Whether a failure may pass by itself: the API server cannot be reached, is not ready, or has too much to do.
pub fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
            !is_about_credentials(error)
        }
        _ => false,
    }
}

/// Whether it failed because of a certificate, or because there is no token to be had.
fn is_about_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() || error.is::<kube::client::AuthError>() {
            return true;
        }
        // What an `io::Error` wraps is not its source, but has the same one.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// What the API server is asked: `verb` and `resource` as RBAC names them, and where.
#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: &'static str,
    pub resource: String,
    pub namespace: Option<String>,
}

impl Asked {
    fn place(&self) -> String {
        self.namespace.as_ref().map_or("all namespaces".into(), |namespace| format!("namespace {namespace}"))
    }

    /// The way out where RBAC refuses.
    pub fn permission(&self) -> String {
        let Self { verb, resource, .. } = self;
        format!("your account needs the verb `{verb}` on `{resource}` in {}", self.place())
    }

    /// It cannot be had; the cause and the way out are the caller's.
    pub fn cannot(&self) -> Error {
        let Self { verb, resource, .. } = self;
        Error::new(Kind::Failed, format!("cannot {verb} {resource}"))
    }

    /// What a failed request means.
    pub fn failed(&self, error: kube::Error) -> Error {
        let failed = Error { may_pass: may_pass(&error), ..self.cannot() };
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                failed.caused_by(status.message.clone()).hint(self.permission())
            }
            kube::Error::Api(status) => failed.caused_by(status.message.clone()),
            error => failed.caused_by(error).hint(
                "`kubectl version` shows whether the API server answers; --kubeconfig and --context name another",
            ),
        }
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

    #[test]
    fn what_is_about_credentials_does_not_pass_by_itself() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(may_pass(&kube::Error::Service(refused.into())));
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = std::io::Error::other(certificate.clone());
        for error in [certificate.into(), std::io::Error::other(wrapped).into()] {
            assert!(!may_pass(&kube::Error::Service(error)));
        }
        let no_token = kube::client::AuthError::AuthExec("no".into());
        assert!(!may_pass(&kube::Error::Service(no_token.into())));
    }

    #[test]
    fn a_verdict_is_no_error() {
        assert_eq!(Error::new(Kind::Found, "1 finding").report(), "1 finding\n");
    }
}
