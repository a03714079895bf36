//! Which process a number means, so that a signal never hits another that got the number later.

use std::fs;

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// One process among all that ever had its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number.
    pub pid: i32,
    /// When it started, in clock ticks since the machine did.
    started: u64,
    /// Which run of the machine that was.
    boot: String,
}

impl Identity {
    /// The process with this number now; `None` if there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: start_time(&stat)?, boot })
    }

    /// Whether this very process is still there.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal to this very process. `Ok(false)`: it is not there, and nothing was sent to anybody.
    ///
    /// # Errors
    /// The signal is not permitted.
    pub fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        // From here on the descriptor means one process, whatever becomes of the number.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(false),
            opened => opened?,
        };
        if !self.is_alive() {
            return Ok(false);
        }
        match pidfd_send_signal(process, signal) {
            Err(Errno::SRCH) => Ok(false),
            sent => sent.map(|()| true),
        }
    }
}

/// Field 22 of `/proc/<pid>/stat`; the name in field 2 may hold blanks and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use super::*;

    fn sleeper() -> (std::process::Child, Identity) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = Identity::of(child.id().cast_signed()).unwrap();
        (child, identity)
    }

    #[test]
    fn the_start_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0";
        assert_eq!(start_time(stat), Some(4711));
    }

    #[test]
    fn a_signal_reaches_the_process_it_is_meant_for() {
        let (mut child, identity) = sleeper();
        assert_eq!(identity.signal(Signal::KILL), Ok(true));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(identity.signal(Signal::KILL), Ok(false));
    }

    #[test]
    fn a_process_that_got_the_number_later_is_left_alone() {
        let (mut child, identity) = sleeper();
        let earlier = Identity { started: identity.started - 1, ..identity.clone() };
        let before_a_reboot = Identity { boot: "another".to_owned(), ..identity };
        assert_eq!(earlier.signal(Signal::KILL), Ok(false));
        assert_eq!(before_a_reboot.signal(Signal::KILL), Ok(false));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
