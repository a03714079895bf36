//! Whether a print says all of a state.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::broken::Broken;
use super::world::World;

/// Whether two states with one print have one future, or else the search would leave out what follows from one of them.
/// Visits every state of a world, and each once more in every other way that leads there; says how many there are.
pub fn has_true_prints(world: World) -> Result<usize, Broken> {
    let mut begin = Broken::begin(world)?;
    begin.sort_nodes();
    let mut known: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut tasks = vec![(begin.clone(), Vec::new())];
    while let Some((mut state, way)) = tasks.pop() {
        let (mut next, mut prints) = (Vec::new(), Vec::new());
        for step in state.steps() {
            let (mut after, way) = (state.clone(), [&way[..], &[step]].concat());
            after.take(step).map_err(|why| Broken::after(begin.clone(), &way, why))?;
            prints.push(after.print());
            next.push((after, way));
        }
        prints.sort_unstable();
        match known.entry(state.print()) {
            Entry::Vacant(entry) => {
                entry.insert(prints);
                tasks.extend(next);
            }
            Entry::Occupied(entry) if *entry.get() == prints => {}
            Entry::Occupied(_) => {
                return Err(Broken::after(
                    begin,
                    &way,
                    "in another way, other things follow from this".into(),
                ));
            }
        }
    }
    Ok(known.len())
}
