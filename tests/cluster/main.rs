//! The controller as a process, under its shipped ServiceAccount and role, on a real API server.
//!
//! Where a test closes a known way to lose or double an address, its name begins with that hazard's id.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod admission;
mod allocation;
mod availability;
mod capi;
mod chaos;
mod conformance;
mod crds;
mod deployed;
mod faults;
mod gate;
mod history;
mod load;
mod metal3;
mod metrics;
mod mixed;
mod moving;
mod people;
mod process;
mod release;
mod replica;
mod restore;
mod rights;
mod scene;
#[path = "../simulation/server.rs"]
#[expect(dead_code, reason = "the simulation needs more of it")]
mod server;
mod shards;
mod switchover;
