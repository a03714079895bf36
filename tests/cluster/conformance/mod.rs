//! The model of the API server that the simulation runs on tells the truth: the same random sequences are run on it and on
//! a real API server, and after each step both have to say the same.
//!
//! `SEED=n` replays one sequence, and says every step; `SEEDS=n` runs so many.

mod ops;
mod real;
mod watched;

use futures::{StreamExt, stream};
use ipam::ledger::{Id, Outcome};
use testbed::{ControlPlane, Options};

use crate::scene::{CAPI_CRDS, install};
use crate::server::Server;
use ops::{Author, Op};
use real::{Real, plain};
use watched::Watched;

/// The fixed share of every test run.
const SEEDS: u64 = 48;
const STEPS: usize = 30;
/// Sequences that run at the same time.
const AT_ONCE: usize = 6;

#[tokio::test]
async fn the_model_of_the_api_server_and_a_real_one_do_the_same() {
    // Without garbage collection: it removes what names owners that do not exist, whenever it comes to it.
    let plane =
        ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    install(&plane, &CAPI_CRDS).await;
    let watched = Watched::start(plane.client()).await;
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match setting("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SEEDS").unwrap_or(SEEDS),
    };
    let aloud = setting("SEED").is_some();
    let runs = stream::iter(seeds).map(|seed| sequence(&plane, seed, aloud)).buffer_unordered(AT_ONCE);
    let runs: Vec<Run> = runs.collect().await;
    let events = watched.finish(plane.client()).await;
    let mut counts = std::collections::BTreeMap::new();
    for run in &runs {
        run.compare_logs(&events);
        run.outcomes.iter().for_each(|name| *counts.entry(*name).or_insert(0) += 1);
    }
    println!("{} sequences of {STEPS} steps: {counts:?}", runs.len());
    if !aloud {
        for outcome in ["seen", "gone", "exists", "names", "guard failed"] {
            assert!(
                counts.contains_key(outcome),
                "nothing was {outcome}: this would prove less than it seems"
            );
        }
    }
}

/// A sequence that was run.
struct Run {
    seed: u64,
    namespace: String,
    server: Server,
    real: Real,
    outcomes: Vec<&'static str>,
}

async fn sequence(plane: &ControlPlane, seed: u64, aloud: bool) -> Run {
    let namespace = plane.create_namespace("conformance").await.unwrap();
    let (mut author, mut server) = (Author::new(seed, &namespace), Server::default());
    let (mut real, mut outcomes) = (Real::new(plane.client()), Vec::new());
    for _ in 0..STEPS {
        let op = author.next(&mut server);
        let theirs = real.carry_out(&op).await;
        let ours = carry_out(&mut server, &op);
        if aloud {
            println!("{op:?}\n  the model: {ours:?}\n  the server: {theirs:?}");
        }
        if let (Outcome::Seen(model), Outcome::Seen(seen)) = (&ours, &theirs) {
            real.learn(model, seen);
        }
        let name = |uid: &_| real.back.get(uid).unwrap_or(uid).clone();
        let same = match (&ours, &theirs) {
            (Outcome::Seen(ours), Outcome::Seen(theirs)) => {
                plain(ours.clone(), Clone::clone) == plain(theirs.clone(), name)
            }
            (Outcome::Names { .. } | Outcome::Gone | Outcome::Exists, _) => ours == theirs,
            (Outcome::GuardFailed(_), Outcome::GuardFailed(_)) => true,
            _ => false,
        };
        assert!(same, "seed {seed}: {op:?}\n  the model: {ours:?}\n  the server: {theirs:?}");
        outcomes.push(word(&ours));
    }
    Run { seed, namespace, server, real, outcomes }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Seen(_) => "seen",
        Outcome::Gone => "gone",
        Outcome::Exists => "exists",
        Outcome::Names { .. } => "names",
        Outcome::GuardFailed(_) => "guard failed",
        Outcome::Refused(_) | Outcome::NotNow(_) | Outcome::Unknown(_) => "other",
    }
}

/// The model's end of a step.
fn carry_out(server: &mut Server, op: &Op) -> Outcome {
    let now = |server: &Server, id| match server.objects.get(id) {
        Some(object) => Outcome::Seen(object.seen.clone()),
        None => Outcome::Gone,
    };
    match op {
        Op::Create(seen, finalizers) => {
            if server.create((**seen).clone(), finalizers) {
                now(server, seen.id())
            } else {
                Outcome::Exists
            }
        }
        Op::Delete(id) => {
            server.delete(id);
            now(server, id)
        }
        Op::Finalizers(id, finalizers) => set_finalizers(server, id, finalizers),
        Op::Write(write) => server.carry_out(write),
    }
}

fn set_finalizers(server: &mut Server, id: &Id, finalizers: &[String]) -> Outcome {
    let Some(object) = server.objects.get(id) else { return Outcome::Gone };
    let uid = object.seen.meta().uid.clone();
    server.guarded(id, &uid, |object| {
        let is_new = |text| !object.finalizers.contains(text);
        // The API server refuses new finalizers on an object that is being deleted.
        if object.seen.meta().deleting && finalizers.iter().any(is_new) {
            return false;
        }
        object.finalizers = finalizers.to_vec();
        true
    })
}

impl Run {
    /// What the watches told of each object is what the model's log says.
    fn compare_logs(&self, events: &watched::Events) {
        let ours = watched::of_model(&self.server);
        let name = |uid: &_| self.real.back.get(uid).unwrap_or(uid).clone();
        let theirs = watched::of_namespace(events, &self.namespace, name);
        for id in ours.keys().chain(theirs.keys()) {
            assert_eq!(ours.get(id), theirs.get(id), "seed {}: the events of {id}", self.seed);
        }
    }
}
