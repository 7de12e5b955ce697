//! Runs a world through the checker, and puts what it finds into words.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::num::NonZero;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

/// Visits every state of a world that has no mistake in it: what must always hold does, and what must be possible was seen. Gives the
/// number of different states.
///
/// # Panics
/// When it does not, with the way there in words.
#[must_use]
pub fn holds<M>(model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + Display + PartialEq,
{
    let properties = model.properties();
    let checker = model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut found = checker.discoveries();
    let (wanted, unwanted): (Vec<_>, Vec<_>) =
        properties.iter().partition(|property| property.expectation == Expectation::Sometimes);
    for property in unwanted {
        if let Some(path) = found.remove(property.name) {
            panic!("does not hold: {}\n{}", property.name, in_words(path));
        }
    }
    for property in wanted {
        assert!(found.contains_key(property.name), "never seen: {}", property.name);
    }
    checker.unique_state_count()
}

/// Looks for a counter-example in a world with a mistake. Gives the way there in words.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn finds<M>(model: M, property: &'static str) -> String
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + Display + PartialEq,
{
    let looked_for = HasDiscoveries::AnyOf([property].into());
    let checker = model.checker().threads(threads()).finish_when(looked_for).spawn_bfs().join();
    let states = checker.unique_state_count();
    match checker.discoveries().remove(property) {
        Some(path) => in_words(path),
        None => panic!("no counter-example among {states} states: {property}"),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}

/// One line for each action.
fn in_words<S, A: Display>(path: Path<S, A>) -> String {
    let actions = path.into_actions();
    actions.iter().enumerate().map(|(place, action)| format!("{:>3}. {action}\n", place + 1)).collect()
}
