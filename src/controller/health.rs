//! Whether the process works, and whether it is ready: `/healthz` and `/readyz`.
//!
//! Neither asks the API server for anything, so that an outage of it restarts nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::get;

use super::clock::since_boot;

/// The loop that has not turned for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// One thing that has to be right; else what is wrong.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    look: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Check {
    /// A check of this name. `look` must answer at once.
    pub fn new(name: &'static str, look: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name, look: Arc::new(look) }
    }
}

/// What the controller's loop shows of itself.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Signs>);

#[derive(Default)]
struct Signs {
    /// When the loop last turned; 0 before it began.
    turned: AtomicU64,
    synced: AtomicBool,
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        self.0.turned.store(u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All kinds were listed.
    pub fn synced(&self) {
        self.0.synced.store(true, Ordering::Relaxed);
    }

    /// The loop turned lately, or has not begun.
    pub fn alive(&self) -> Check {
        let signs = self.0.clone();
        Check::new("loop", move || turning(signs.turned.load(Ordering::Relaxed), since_boot()))
    }

    /// All kinds were listed since the start.
    pub fn is_synced(&self) -> Check {
        let signs = self.0.clone();
        Check::new("synced", move || {
            let synced = signs.synced.load(Ordering::Relaxed);
            if synced { Ok(()) } else { Err("not all kinds are listed yet".into()) }
        })
    }
}

fn turning(turned: u64, now: Duration) -> Result<(), String> {
    let still = now.saturating_sub(Duration::from_millis(turned));
    if turned == 0 || still < STUCK {
        return Ok(());
    }
    Err(format!("it has not turned for {} s", still.as_secs()))
}

/// `/healthz` and `/readyz`, by these checks.
pub(super) fn router(healthy: Vec<Check>, ready: Vec<Check>) -> Router {
    let page = |name: &'static str, checks: Vec<Check>| {
        get(move |RawQuery(query): RawQuery| {
            let verbose = query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
            std::future::ready(answer(name, &checks, verbose))
        })
    };
    Router::new().route("/healthz", page("healthz", healthy)).route("/readyz", page("readyz", ready))
}

/// As Kubernetes answers: `ok`, and each check where one fails or all were asked for.
fn answer(name: &str, checks: &[Check], verbose: bool) -> (StatusCode, String) {
    let results: Vec<_> = checks.iter().map(|check| (check.name, (check.look)())).collect();
    let passed = results.iter().all(|(_, result)| result.is_ok());
    let lines: String = results.into_iter().map(line).collect();
    match (passed, verbose) {
        (true, false) => (StatusCode::OK, "ok".into()),
        (true, true) => (StatusCode::OK, lines + name + " check passed\n"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, lines + name + " check failed\n"),
    }
}

fn line((name, result): (&str, Result<(), String>)) -> String {
    match result {
        Ok(()) => format!("[+]{name} ok\n"),
        Err(why) => format!("[-]{name} failed: {why}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_that_fails_fails_the_page_and_says_why() {
        let fine = Check::new("synced", || Ok(()));
        let broken = Check::new("certificate", || Err("there is none".into()));
        assert_eq!(answer("readyz", std::slice::from_ref(&fine), false), (StatusCode::OK, "ok".into()));
        let (code, text) = answer("readyz", std::slice::from_ref(&fine), true);
        assert_eq!((code, text.as_str()), (StatusCode::OK, "[+]synced ok\nreadyz check passed\n"));
        let (code, text) = answer("readyz", &[fine, broken], false);
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "[+]synced ok\n[-]certificate failed: there is none\nreadyz check failed\n");
    }

    #[test]
    fn a_loop_that_no_longer_turns_is_not_healthy() {
        assert_eq!(turning(0, Duration::from_hours(1)), Ok(()));
        assert_eq!(turning(60_000, Duration::from_secs(89)), Ok(()));
        assert!(turning(60_000, Duration::from_secs(95)).unwrap_err().contains("35 s"));
    }

    #[test]
    fn what_was_listed_once_stays_synced() {
        let pulse = Pulse::default();
        assert!((pulse.is_synced().look)().is_err());
        pulse.synced();
        assert!((pulse.is_synced().look)().is_ok());
    }
}
