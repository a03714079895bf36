//! The plugin through `kubectl ipam`, against a real API server and the controller: stdout, stderr, exit code.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

mod check;
mod completion;
mod connection;
mod explain;
mod install;
mod plan;
mod races;
mod readme;
mod reads;
mod refusals;
mod scene;
mod terminal;
mod writes;
