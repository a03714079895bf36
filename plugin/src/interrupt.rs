//! Ctrl-C at any moment: the terminal is left as it was, and what was already written is said.

use std::sync::Mutex;

use crate::output::talk_line;

/// What was written so far.
static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What was sent and not answered yet.
static UNDER_WAY: Mutex<Option<String>> = Mutex::new(None);

/// Notes a write, to be told if the rest is interrupted.
pub fn note(done: &str) {
    if let Ok(mut list) = DONE.lock() {
        list.push(done.to_owned());
    }
}

/// Notes a write that is being sent: nobody knows whether it takes effect until it is answered.
pub fn under_way(what: &str) {
    if let Ok(mut under_way) = UNDER_WAY.lock() {
        *under_way = Some(what.to_owned());
    }
}

/// The write that was under way is answered.
pub fn answered() {
    if let Ok(mut under_way) = UNDER_WAY.lock() {
        *under_way = None;
    }
}

/// Ends the process with 130 on SIGINT, wherever it is: prompts block, and so cannot watch for it themselves.
pub fn watch() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            drop(console::Term::stderr().show_cursor());
            talk_line(format_args!("\nerror: interrupted; {}", told()));
            std::process::exit(130);
        }
    });
}

fn told() -> String {
    let done = DONE.lock().map(|list| list_of(&list)).unwrap_or_default();
    let under_way = UNDER_WAY.lock().ok().and_then(|under_way| under_way.clone());
    let maybe = under_way.map(|what| format!("{what} was under way and may be written"));
    let parts: Vec<String> = done.into_iter().chain(maybe).collect();
    if parts.is_empty() { "nothing was written".to_owned() } else { parts.join("; ") }
}

/// What was done, in full where it is little.
fn list_of(done: &[String]) -> Option<String> {
    const LITTLE: usize = 10;
    match done {
        [] => None,
        done if done.len() <= LITTLE => Some(format!("this was done and stays: {}", done.join(", "))),
        [.., last] => Some(format!("{} writes were done and stay, at last: {last}", done.len())),
    }
}
