//! Every effect of a part is a crash point: killed before it, which is after the one before, and started again, which does it twice where
//! it was done. The end must be that of the same scenario without a kill.
//!
//! The usual run takes some of the points of each part, `cargo xtask soak crash-points` all of them.

mod machine;
mod services;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use muster_testkit::lab::Lab;
use muster_testkit::{Before, Client, CrashPoint, Effects, Process, wait_until};

/// With this variable every point is taken: `all`; or those of one part, `keeper:all`; or one alone, to look at what happens: `keeper:11`.
const POINTS: &str = "MUSTER_SOAK_POINTS";
/// Points of a part in the usual run.
const SAMPLED: usize = 4;
/// A scenario ends within this, whoever is killed in it.
const SCENARIO_LIMIT: Duration = Duration::from_secs(120);

/// What a scenario came to: what was looked at, and what was seen.
type End = BTreeMap<&'static str, String>;
/// What a person does, on the first connection to a lab that can be had.
type Scenario = Box<dyn FnOnce(&Client) -> anyhow::Result<End> + Send>;

/// A part that is killed.
struct Part {
    name: &'static str,
    program: &'static str,
    effects: Effects,
    /// The process that is started again.
    process: fn(&mut Lab) -> anyhow::Result<&mut Process>,
    /// It is started again by who was watched with it, and not by us.
    comes_back: bool,
    /// What is done before each point.
    before: fn(&mut Lab) -> anyhow::Result<()>,
    scenario: fn(&Lab) -> Scenario,
    /// What of an end is not to be known where it was killed.
    forgives: fn(&mut End, killed: &End),
}

/// What the points of a part came to.
#[derive(Default)]
struct Count {
    points: usize,
    kills: usize,
    differences: Vec<String>,
}

/// What a scenario with a kill came to.
struct Played {
    end: anyhow::Result<End>,
    effects: usize,
    killed_before: Option<String>,
}

/// The scenario with a kill before an effect.
fn play(lab: &mut Lab, part: &Part, before: Option<usize>) -> anyhow::Result<Played> {
    (part.before)(lab)?;
    let (client, scenario) = (lab.client(), (part.scenario)(lab));
    let point = CrashPoint { program: part.program.into(), effects: part.effects, before: before.map(Before::Effect) };
    let watch = (part.process)(lab)?.restart_to_crash(point)?;
    let person = std::thread::spawn(move || scenario(&client));
    let mut again = part.comes_back;
    let mut start_again = |killed: bool| match killed && !again {
        true => {
            again = true;
            (part.process)(lab).and_then(Process::restart)
        }
        false => Ok(()),
    };
    let mut started = Ok(());
    wait_until("the scenario ends", SCENARIO_LIMIT, || {
        started = start_again(watch.killed_before().is_some());
        started.is_err() || person.is_finished()
    })?;
    started?;
    let (effects, killed_before) = (watch.effects(), watch.spare());
    start_again(killed_before.is_some())?;
    Ok(Played { end: person.join().expect("a person does not panic"), effects, killed_before })
}

/// Takes the points of a part, and says what they came to.
fn points_of(lab: &mut Lab, part: &Part) -> Count {
    let begun = Instant::now();
    // The first time, programs of modules are fetched.
    let played = play(lab, part, None).and_then(|_| play(lab, part, None));
    let played = played.unwrap_or_else(|error| panic!("{}: {error:?}", part.name));
    let reference = played.end.unwrap_or_else(|error| panic!("{}: {error:?}\n{}", part.name, lab.tails()));
    let all = played.effects;
    let mut count = Count { points: all, ..Count::default() };
    for before in chosen(part, all) {
        let played = match play(lab, part, Some(before)) {
            Ok(played) => played,
            Err(error) => {
                count.differences.push(format!("{} before effect {before}: {error:#}", part.name));
                break;
            }
        };
        let Some(what) = played.killed_before else { break };
        count.kills += 1;
        if let Some(difference) = difference(part, &reference, played.end) {
            let what = what.replace(&*lab.directory().to_string_lossy(), "");
            let difference = format!("{} before effect {before} ({what}): {difference}", part.name);
            eprintln!("{difference}");
            count.differences.push(difference);
        }
    }
    let (seconds, differences) = (begun.elapsed().as_secs(), count.differences.len());
    eprintln!("{}: {} points, {} kills, {differences} differences, {seconds} s", part.name, count.points, count.kills);
    count
}

/// The points that are taken, of so many. Behind the last one nothing is killed any more, whatever there were the first time.
fn chosen(part: &Part, all: usize) -> Box<dyn Iterator<Item = usize>> {
    let asked = std::env::var(POINTS).unwrap_or_default();
    match asked.split_once(':') {
        Some((name, _)) if name != part.name => Box::new(std::iter::empty()),
        Some((_, "all")) => Box::new(1..),
        Some((_, point)) => Box::new(point.parse().into_iter()),
        None if asked == "all" => Box::new(1..),
        None => {
            let step = all.div_ceil(SAMPLED).max(1);
            Box::new((step.div_ceil(2)..).step_by(step).take(SAMPLED))
        }
    }
}

/// What differs from the end without a kill, in words.
fn difference(part: &Part, reference: &End, end: anyhow::Result<End>) -> Option<String> {
    let end = match end {
        Ok(end) => end,
        Err(error) => return Some(format!("{error:#}")),
    };
    let mut expected = reference.clone();
    (part.forgives)(&mut expected, &end);
    let mut words = String::new();
    for (what, expected) in &expected {
        let found = end.get(what).map_or("nothing", String::as_str);
        if found != expected {
            let _ = write!(words, "{what}: {found} instead of {expected}; ");
        }
    }
    (!words.is_empty()).then_some(words)
}

/// Takes the points of all parts, and fails where one ended differently.
fn none_differs(lab: &mut Lab, parts: &[Part]) {
    let counts: Vec<Count> = parts.iter().map(|part| points_of(lab, part)).collect();
    assert!(counts.iter().any(|count| count.kills > 0), "somebody was killed");
    let differences: Vec<String> = counts.into_iter().flat_map(|count| count.differences).collect();
    assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), lab.tails());
}
