//! The search: every state of a small world, each once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::state::{State, Step};
use super::world::World;

/// What came of a search.
#[derive(Debug)]
pub struct Explored {
    pub states: usize,
    pub transitions: usize,
    /// States in which nothing is left to do.
    pub rests: usize,
    /// There are no others.
    pub all: bool,
    pub took: Duration,
}

/// The order in which states are visited.
#[derive(Clone, Copy)]
pub enum Order {
    /// Few states wait at a time: for large worlds.
    Depth,
    /// The first way that is found to a state is the shortest.
    Breadth,
}

/// A state that must not be, and a way to it.
pub struct Broken {
    pub why: String,
    steps: Vec<String>,
}

impl Broken {
    /// How a world begins, which may be broken already.
    pub fn begin(world: World) -> Result<State, Self> {
        State::begin(world).map_err(|why| Self { why, steps: vec!["at the beginning".into()] })
    }

    /// Walks a way again, and tells it.
    pub fn after(mut state: State, way: &[Step], why: String) -> Self {
        let mut steps = Vec::new();
        for step in way {
            steps.push(state.tell(*step));
            // The last one is what must not be.
            if state.take(*step).is_err() {
                break;
            }
        }
        Self { why, steps }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        f.write_str(&self.why)
    }
}

struct Search {
    begin: State,
    /// Numbers of the states by their prints.
    known: HashMap<u64, u32>,
    /// How each was reached first.
    ways: Vec<Option<(u32, Step)>>,
    edges: Vec<(u32, u32)>,
    rests: Vec<u32>,
    frontier: VecDeque<(u32, State)>,
}

/// Visits every state of a world: what must hold in each does, what must hold at rest does, and from each a state of
/// rest can be reached. Beyond `limit` states it gives up, and that last is not known.
pub fn explore(world: World, order: Order, limit: usize) -> Result<Explored, Broken> {
    let start = Instant::now();
    let mut begin = Broken::begin(world)?;
    let mut search = Search {
        known: HashMap::from([(begin.print(), 0)]),
        ways: vec![None],
        edges: Vec::new(),
        rests: Vec::new(),
        frontier: VecDeque::from([(0, begin.clone())]),
        begin,
    };
    while search.ways.len() < limit
        && let Some((number, state)) = search.next(order)
    {
        search.visit(number, &state)?;
    }
    let all = search.frontier.is_empty();
    if let Some(stuck) = search.without_rest().filter(|_| all) {
        return Err(search.broken(stuck, None, "no state of rest can be reached from here".into()));
    }
    let (states, transitions, rests) = (search.ways.len(), search.edges.len(), search.rests.len());
    Ok(Explored { states, transitions, rests, all, took: start.elapsed() })
}

impl Search {
    fn next(&mut self, order: Order) -> Option<(u32, State)> {
        match order {
            Order::Depth => self.frontier.pop_back(),
            Order::Breadth => self.frontier.pop_front(),
        }
    }

    fn visit(&mut self, number: u32, state: &State) -> Result<(), Broken> {
        let steps = state.steps();
        if State::is_at_rest(&steps) {
            state.judge_rest().map_err(|why| self.broken(number, None, why))?;
            self.rests.push(number);
        }
        for step in steps {
            let mut next = state.clone();
            next.take(step).map_err(|why| self.broken(number, Some(step), why))?;
            let fresh = u32::try_from(self.ways.len()).unwrap();
            let at = *self.known.entry(next.print()).or_insert(fresh);
            self.edges.push((number, at));
            if at == fresh {
                self.ways.push(Some((number, step)));
                self.frontier.push_back((fresh, next));
            }
        }
        Ok(())
    }

    /// A state from which nothing leads to rest.
    fn without_rest(&mut self) -> Option<u32> {
        self.edges.sort_unstable_by_key(|(_, to)| *to);
        let mut leads = vec![false; self.ways.len()];
        let mut open = self.rests.clone();
        for rest in &open {
            leads[*rest as usize] = true;
        }
        while let Some(at) = open.pop() {
            let first = self.edges.partition_point(|(_, to)| *to < at);
            for (from, _) in self.edges[first..].iter().take_while(|(_, to)| *to == at) {
                if !std::mem::replace(&mut leads[*from as usize], true) {
                    open.push(*from);
                }
            }
        }
        leads.iter().position(|leads| !leads).map(|at| u32::try_from(at).unwrap())
    }

    /// Walks the way to a state again, and tells it.
    fn broken(&self, number: u32, last: Option<Step>, why: String) -> Broken {
        let (mut way, mut at) = (Vec::from_iter(last), number);
        while let Some((from, step)) = self.ways[at as usize] {
            way.push(step);
            at = from;
        }
        way.reverse();
        Broken::after(self.begin.clone(), &way, why)
    }
}
