//! The search: every state of a small world, each once.
//!
//! It goes into the depth, on all processors at once. Of a state that was reached only its print is kept, and until it is
//! known that it leads to rest, who waits to hear that: so hundreds of millions fit into memory. Two states with one print
//! would be taken for one; as a print has 64 bits, one of two hundred searches of 400 million states would have such a pair.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::broken::Broken;
use super::known::{Fate, Known};
use super::state::{State, Step};
use super::world::World;

/// What came of a search.
#[derive(Debug)]
pub struct Explored {
    pub states: u64,
    pub transitions: u64,
    /// States in which nothing is left to do.
    pub rests: u64,
    /// There are no others.
    pub all: bool,
    pub took: Duration,
}

/// Visits every state of a world: what must hold in each does, what must hold at rest does, and from each a state of
/// rest can be reached. Beyond `limit` states it gives up, and that last is not known.
pub fn explore(world: World, limit: u64) -> Result<Explored, Broken> {
    let start = Instant::now();
    let mut begin = Broken::begin(world)?;
    begin.sort_nodes();
    let print = begin.print();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let search = Search {
        limit,
        workers,
        known: Known::default(),
        tasks: Mutex::default(),
        more: Condvar::new(),
        idle: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        states: AtomicU64::new(0),
        transitions: AtomicU64::new(0),
        rests: AtomicU64::new(0),
        broken: Mutex::default(),
    };
    search.reach(print);
    search.tasks.lock().unwrap().push(Task { state: begin.clone(), print, way: Vec::new() });
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(|| search.work()))));
    let all = !search.is_over.load(Relaxed);
    let broken = search.broken.into_inner().unwrap();
    let endless = || Some((search.known.endless()?, "no state of rest can be reached from here".to_owned()));
    if let Some((way, why)) = if all { endless() } else { broken } {
        return Err(Broken::after(begin, &way, why));
    }
    let [states, transitions, rests] =
        [search.states, search.transitions, search.rests].map(AtomicU64::into_inner);
    Ok(Explored { states, transitions, rests, all, took: start.elapsed() })
}

/// The shortest way to what must not be, if there is one.
pub fn shortest(world: World) -> Option<Broken> {
    let mut begin = match Broken::begin(world) {
        Ok(begin) => begin,
        Err(broken) => return Some(broken),
    };
    begin.sort_nodes();
    let mut known = HashSet::from([begin.print()]);
    let mut tasks = VecDeque::from([(begin.clone(), Vec::new())]);
    while let Some((state, way)) = tasks.pop_front() {
        let steps = state.steps();
        if State::is_at_rest(&steps)
            && let Err(why) = state.judge_rest()
        {
            return Some(Broken::after(begin, &way, why));
        }
        for step in steps {
            let (mut next, way) = (state.clone(), [&way[..], &[step]].concat());
            if let Err(why) = next.take(step) {
                return Some(Broken::after(begin, &way, why));
            }
            if known.insert(next.print()) {
                tasks.push_back((next, way));
            }
        }
    }
    None
}

/// After so many states it says how far it is.
const REPORT: u64 = 5_000_000;

/// What all processors share.
struct Search {
    limit: u64,
    workers: usize,
    known: Known,
    tasks: Mutex<Vec<Task>>,
    more: Condvar,
    /// Processors that have nothing to do.
    idle: AtomicUsize,
    /// Something is broken, or there are too many states.
    is_over: AtomicBool,
    states: AtomicU64,
    transitions: AtomicU64,
    rests: AtomicU64,
    /// What is broken, and the way there.
    broken: Mutex<Option<(Vec<Step>, String)>>,
}

/// A state that nobody has gone on from yet.
struct Task {
    state: State,
    print: u64,
    way: Vec<Step>,
}

impl Search {
    /// A state is reached.
    fn reach(&self, print: u64) -> Fate {
        let fate = self.known.reach(print);
        if fate == Fate::New {
            let states = self.states.fetch_add(1, Relaxed) + 1;
            if states >= self.limit {
                self.is_over.store(true, Relaxed);
            }
            if states.is_multiple_of(REPORT) {
                println!("{states} states so far");
            }
        }
        fate
    }

    fn work(&self) {
        let _bell = Bell(self);
        while let Some(task) = self.next_task() {
            let mut walk = Walk { search: self, way: task.way, frames: Vec::new(), resting: 0 };
            if let Err(why) = walk.go(task.state, task.print) {
                self.broken.lock().unwrap().get_or_insert((walk.whole_way(), why));
                self.is_over.store(true, Relaxed);
            }
        }
    }

    /// The next to go on from, as soon as there is one; none once all processors are idle.
    fn next_task(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock().unwrap();
        self.idle.fetch_add(1, Relaxed);
        loop {
            let is_over = self.is_over.load(Relaxed);
            if let Some(task) = tasks.pop().filter(|_| !is_over) {
                self.idle.fetch_sub(1, Relaxed);
                return Some(task);
            }
            if is_over || self.idle.load(Relaxed) == self.workers {
                self.more.notify_all();
                return None;
            }
            tasks = self.more.wait(tasks).unwrap();
        }
    }
}

/// Wakes the others where one panics, as they would wait for it for ever.
struct Bell<'a>(&'a Search);

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Who is about to wait has looked before.
            let _tasks = self.0.tasks.lock();
            self.0.is_over.store(true, Relaxed);
            self.0.more.notify_all();
        }
    }
}

/// One processor's way into the depth.
struct Walk<'a> {
    search: &'a Search,
    /// To the first frame.
    way: Vec<Step>,
    frames: Vec<Frame>,
    /// So many frames are known to lead to rest, from the first on.
    resting: usize,
}

/// A state on the way.
struct Frame {
    state: State,
    print: u64,
    /// What was not tried yet.
    steps: Vec<Step>,
    /// What is being tried.
    tried: Option<Step>,
}

impl Walk<'_> {
    fn go(&mut self, state: State, print: u64) -> Result<(), String> {
        self.enter(state, print)?;
        while let Some(frame) = self.frames.last_mut().filter(|_| !self.search.is_over.load(Relaxed)) {
            frame.tried = frame.steps.pop();
            let Some(step) = frame.tried else {
                self.leave();
                continue;
            };
            let mut next = frame.state.clone();
            next.take(step)?;
            self.search.transitions.fetch_add(1, Relaxed);
            let (from, to) = (frame.print, next.print());
            match self.search.reach(to) {
                Fate::New => self.enter(next, to)?,
                Fate::Rests => self.all_rest(),
                Fate::Open => self.follow(from, to),
            }
            if self.search.idle.load(Relaxed) > 0 {
                self.share()?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, state: State, print: u64) -> Result<(), String> {
        let steps = state.steps();
        let is_at_rest = State::is_at_rest(&steps);
        if is_at_rest {
            state.judge_rest()?;
            self.search.rests.fetch_add(1, Relaxed);
        }
        self.frames.push(Frame { state, print, steps, tried: None });
        if is_at_rest {
            self.all_rest();
        }
        Ok(())
    }

    /// All that can happen in the last state was tried.
    fn leave(&mut self) {
        let is_open = self.resting < self.frames.len();
        let way = is_open.then(|| self.whole_way());
        let Some(frame) = self.frames.pop() else { return };
        self.resting = self.resting.min(self.frames.len());
        let Some(way) = way else { return };
        self.search.known.was_tried(frame.print, way);
        if let Some(before) = self.frames.last() {
            self.follow(before.print, frame.print);
        }
    }

    /// All states on the way lead to rest.
    fn all_rest(&mut self) {
        self.frames[self.resting..].iter().for_each(|frame| self.search.known.rests(frame.print));
        self.resting = self.frames.len();
    }

    /// The last state of the way leads to one that was open a moment ago.
    fn follow(&mut self, from: u64, to: u64) {
        if self.resting < self.frames.len() && self.search.known.follow(from, to) == Fate::Rests {
            self.all_rest();
        }
    }

    /// Gives one branch away, the earliest, as the largest.
    fn share(&mut self) -> Result<(), String> {
        let Some(at) = self.frames[..self.resting].iter().position(|frame| !frame.steps.is_empty()) else {
            return Ok(());
        };
        let step = self.frames[at].steps.remove(0);
        let mut state = self.frames[at].state.clone();
        let mut way = self.whole_way();
        way.truncate(self.way.len() + at);
        way.push(step);
        if let Err(why) = state.take(step) {
            self.frames.truncate(at + 1);
            self.frames[at].tried = Some(step);
            return Err(why);
        }
        self.search.transitions.fetch_add(1, Relaxed);
        let print = state.print();
        if self.search.reach(print) == Fate::New {
            self.search.tasks.lock().unwrap().push(Task { state, print, way });
            self.search.more.notify_one();
        }
        Ok(())
    }

    /// What led to where it is, with what is being tried there.
    fn whole_way(&self) -> Vec<Step> {
        self.way.iter().copied().chain(self.frames.iter().filter_map(|frame| frame.tried)).collect()
    }
}
