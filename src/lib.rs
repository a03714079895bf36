//! IP address management for bare-metal Kubernetes.
//!
//! Everything interesting is a pure function from what we see to what we would write; everything else is thin and in
//! one place. The rooms, and what each must not know, are in `ARCHITECTURE.md`:
//!
//! ```text
//! addr  ←  api  ←  ledger  ←  apply  ←  controller
//!                     ↑                 admission ─┘
//! ```

pub mod addr;
pub mod admission;
pub mod api;
pub mod apply;
pub mod args;
pub mod controller;
pub mod ledger;
