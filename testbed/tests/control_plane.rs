//! A control plane starts, serves, can be broken and mended, and ends with nothing left.

use std::{path::Path, time::Instant};

use testbed::{Component, ControlPlane, Options};

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn starts_in_seconds_and_leaves_nothing() {
    let begin = Instant::now();
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    eprintln!("{:?}", begin.elapsed());
    let pids = Component::ALL.map(|component| plane.pid(component).unwrap());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let dir = plane.dir().to_owned();
    assert!(dir.exists());
    drop(plane);
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
}
