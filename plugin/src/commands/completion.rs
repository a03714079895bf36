//! `completion`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::Globals;
use crate::complete::HELPER;
use crate::error::{Error, Kind};
use crate::output::{line, out};

/// Complete verbs, flags and names in the shell
///
/// `install` puts the helper beside this program that kubectl calls to complete `kubectl ipam …`; kubectl's own
/// completion has to be set up (`kubectl completion --help`). The others print a script that completes `kubectl-ipam`
/// itself, to be sourced when the shell starts.
#[derive(Args, Debug)]
pub struct Completion {
    /// A shell, or install
    #[arg(value_enum)]
    what: What,
    /// Folder of PATH to install the helper in [default: where this program is]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum What {
    /// `source <(kubectl-ipam completion bash)`
    Bash,
    /// `source <(kubectl-ipam completion zsh)`
    Zsh,
    /// `kubectl-ipam completion fish | source`
    Fish,
    /// Install the helper that kubectl calls
    Install,
}

impl Completion {
    #[expect(clippy::unused_async, reason = "all commands run alike")]
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        match self.what {
            What::Bash => script("bash"),
            What::Zsh => script("zsh"),
            What::Fish => script("fish"),
            What::Install => self.install(globals),
        }
    }

    fn install(&self, globals: &Globals) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Failed, format!("cannot install {HELPER}"))
                .caused_by(error)
                .hint("--dir names another folder of your PATH")
        };
        let program = std::env::current_exe().map_err(failed)?;
        let beside = program.parent().unwrap_or(Path::new("."));
        let helper = self.dir.as_deref().unwrap_or(beside).join(HELPER);
        if std::fs::read_link(&helper).is_ok_and(|target| target == program) {
            line(format_args!("{} unchanged", helper.display()));
            return Ok(());
        }
        link(&program, &helper).map_err(failed)?;
        line(format_args!("{} installed", helper.display()));
        globals.ui.say("kubectl calls it to complete `kubectl ipam`, where its own completion is set up");
        Ok(())
    }
}

/// A link takes the place of an older one at once, and follows the program through updates.
fn link(program: &Path, helper: &Path) -> std::io::Result<()> {
    let new = helper.with_extension("new");
    #[cfg(unix)]
    std::os::unix::fs::symlink(program, &new)?;
    #[cfg(not(unix))]
    std::fs::copy(program, &new)?;
    std::fs::rename(&new, helper)
}

/// The script by which a shell asks this program itself.
fn script(shell: &str) -> Result<(), Error> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else {
        return Err(Error::new(Kind::Usage, format!("no completion for {shell}")));
    };
    // The program's own name, as `kubectl ipam` would take the place of kubectl's completion.
    let mut script = Vec::new();
    shell
        .write_registration("COMPLETE", "kubectl-ipam", "kubectl-ipam", "kubectl-ipam", &mut script)
        .map_err(|error| Error::new(Kind::Failed, "cannot make the script").caused_by(error))?;
    out(format_args!("{}", String::from_utf8_lossy(&script)));
    Ok(())
}
