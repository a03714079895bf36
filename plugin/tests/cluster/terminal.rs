//! What a person at a terminal is asked, and told.

use std::process::Command;
use std::sync::Arc;

use rexpect::process::WaitStatus;
use rexpect::session::PtySession;

use crate::scene::{Scene, binary, objects};

fn at_a_terminal(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("kubectl-ipam"));
    command
        .env("KUBECONFIG", scene.plane.kubeconfig())
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .args(arguments)
        .args(["-n", &scene.namespace]);
    command
}

/// What a terminal is sent to show the cursor again.
const SHOW_CURSOR: &str = "\x1b[?25h";

/// Plays a dialogue to its end: the exit code, if the process ended by itself.
async fn play(
    command: Command,
    dialogue: impl FnOnce(&mut PtySession) -> Result<(), rexpect::error::Error> + Send + 'static,
) -> Option<i32> {
    let played = tokio::task::spawn_blocking(move || {
        let mut session = rexpect::session::spawn_command(command, Some(60_000))?;
        dialogue(&mut session)?;
        session.exp_eof()?;
        session.process().wait()
    });
    match played.await.unwrap().unwrap() {
        WaitStatus::Exited(_, code) => Some(code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_pool_asks_its_way_through() {
    let scene = Scene::new("ask-pool").await.with_controller();
    scene.create(&[objects::pool("other", "10.0.0.5", "10.0.0.6"), objects::cluster("k", false)]);
    let told = format!(
        "the same by flags: kubectl ipam create-pool -n {} p --range 10.0.0.1-10.0.0.9 --cluster k",
        scene.namespace
    );
    let code = play(at_a_terminal(&scene, &["create-pool"]), move |session| {
        session.exp_string("Name of the pool")?;
        session.send_line("other")?;
        session.exp_string("there is a pool of this name")?;
        session.send_line("p")?;
        session.exp_string("Addresses")?;
        session.send_line("10.0.0.9-10.0.0.1")?;
        session.exp_string("end IP 10.0.0.1 is before start IP 10.0.0.9")?;
        session.send_line("10.0.0.1-10.0.0.9")?;
        session.exp_string("9 addresses: 10.0.0.1-10.0.0.9")?;
        session.exp_string("warning: it overlaps with 10.0.0.5-10.0.0.6 of pool other")?;
        session.exp_string("Gateway")?;
        session.send_line("")?;
        session.exp_string("Cluster of the pool")?;
        session.send_line("k")?;
        session.exp_string("+ ippool.ipam.metal3.io/p")?;
        session.exp_string("Create the pool?")?;
        session.send("y")?;
        session.flush()?;
        session.exp_string("ippool.ipam.metal3.io/p created")?;
        session.exp_string(&told)?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_and_release_ask_for_what_is_missing() {
    let scene = Scene::new("ask-claim").await.with_controller();
    scene.done(&["create-pool", "p", "--range", "10.0.0.1-10.0.0.9"]);
    let told = format!("the same by flags: kubectl ipam claim -n {} --pool p c", scene.namespace);
    let code = play(at_a_terminal(&scene, &["claim"]), move |session| {
        session.exp_string("Pool")?;
        session.send_line("")?;
        session.exp_string("Name of the claim")?;
        session.send_line("c")?;
        session.exp_string("Create it?")?;
        session.send("y")?;
        session.flush()?;
        session.exp_string("ipclaim.ipam.metal3.io/c created")?;
        session.exp_string("c   10.0.0.")?;
        session.exp_string(&told)?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(0));
    let told = format!("the same by flags: kubectl ipam release -n {} c --yes", scene.namespace);
    let code = play(at_a_terminal(&scene, &["release"]), move |session| {
        session.exp_string("Claim")?;
        session.send_line("")?;
        session.exp_string("- ipclaim.ipam.metal3.io/c")?;
        session.exp_string("Go on?")?;
        session.send("y")?;
        session.flush()?;
        session.exp_string("ipclaim.ipam.metal3.io/c released")?;
        session.exp_string(&told)?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_or_breaks_off_changes_nothing() {
    let scene = Scene::new("ask-no").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let code = play(at_a_terminal(&scene, &["delete-pool", "p"]), |session| {
        session.exp_string("- ippool.ipam.metal3.io/p")?;
        session.exp_string("Go on?")?;
        session.send("n")?;
        session.flush()?;
        session.exp_string("error: not done: nothing was written")?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(1));
    let code = play(at_a_terminal(&scene, &["create-pool"]), |session| {
        session.exp_string("Name of the pool")?;
        session.send_control('c')?;
        session.exp_string(SHOW_CURSOR)?;
        session.exp_string("nothing was written")?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(130));
    assert_eq!(scene.done(&["status", "-o", "name"]), "ippool.ipam.metal3.io/p\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wrong_any_more_once_somebody_has_agreed_is_left_alone() {
    let scene = Arc::new(Scene::new("repair-asks").await);
    let leaked = |n: u8, claim: &str| {
        let (name, ip) = (format!("p-10-0-0-{n}"), format!("10.0.0.{n}"));
        objects::address(&name, &ip, "p", claim, "11111111-1111-4111-8111-111111111111")
    };
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), leaked(1, "back"), leaked(2, "gone")]);
    let there = scene.clone();
    let code = play(at_a_terminal(&scene, &["repair"]), move |session| {
        session.exp_string("Go on?")?;
        // Its claim is made again, and is to have the address.
        there.create(&[objects::claim("back", "p", None)]);
        session.send("y")?;
        session.flush()?;
        session.exp_string("2 writes left out: what they mend has changed meanwhile")?;
        session.exp_string("ipaddress.ipam.metal3.io/p-10-0-0-2 deleted")?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(0));
    let left = scene.kubectl(&["get", "ipaddresses.ipam.metal3.io", "-o", "name"]);
    assert_eq!(left, "ipaddress.ipam.metal3.io/p-10-0-0-1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_an_interruption_is_said() {
    let scene = Scene::new("interrupt").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let code = play(at_a_terminal(&scene, &["claim", "c", "--pool", "p"]), |session| {
        session.exp_string("ipclaim.ipam.metal3.io/c created")?;
        session.send_control('c')?;
        session.exp_string(SHOW_CURSOR)?;
        session
            .exp_string("error: interrupted; this was done and stays: ipclaim.ipam.metal3.io/c created")?;
        Ok(())
    })
    .await;
    assert_eq!(code, Some(130));
}
