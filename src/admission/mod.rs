//! What is let into the cluster: an object as it was, as it is to be and what we see → defaults and violations.
//!
//! [`admit`] and what it calls decide, and know no client, runtime, clock or log. [`serve`] is the HTTPS server around
//! it, [`Live`] the question to the controller's loop who holds an address right now, and [`pki`] makes the
//! certificates.
//!
//! # Guarantees
//!
//! - An update is judged by what it changes: what was wrong before passes, wherever in its list it stands now.
//!   So does every update of metadata alone, apart from the address that a claim asks for.
//! - "In use" is judged by who holds an address right now, never by a pool's status.
//! - Whatever comes in, an answer in the form of an `AdmissionReview` goes out; nothing panics.
//! - Whoever connects, and whatever it sends, time and memory are bounded.

mod admit;
#[cfg(test)]
mod any_input;
mod bounds;
mod defaults;
mod lean;
mod live;
mod objects;
mod observe;
pub mod pki;
mod pool;
mod review;
mod server;
mod tls;

pub use admit::{Endpoint, Task, admit, question};
pub use bounds::Bounds;
pub use defaults::Scope;
pub use live::{Live, Question};
pub use observe::{Observer, ReviewEnd};
pub use review::{Malformed, Operation, Request, Verdict};
pub use server::{AdmissionOptions, serve};
pub use tls::{Handshake, usual_handshake};
