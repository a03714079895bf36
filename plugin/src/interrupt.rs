//! Ctrl-C at any moment: the terminal is left as it was, and what was already written is said.

use std::sync::Mutex;

/// What was written so far.
static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes a write, to be told if the rest is interrupted.
pub fn note(done: &str) {
    if let Ok(mut list) = DONE.lock() {
        list.push(done.to_owned());
    }
}

/// Ends the process with 130 on SIGINT, wherever it is: prompts block, and so cannot watch for it themselves.
pub fn watch() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            drop(console::Term::stderr().show_cursor());
            eprintln!("\nerror: interrupted; {}", told());
            std::process::exit(130);
        }
    });
}

fn told() -> String {
    match DONE.lock().map(|list| list.join(", ")) {
        Ok(done) if !done.is_empty() => format!("this was done and stays: {done}"),
        _ => "nothing was written".to_owned(),
    }
}
