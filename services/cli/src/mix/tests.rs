//! What holds of every sequence, and what a file may say.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::plan::{JobPlan, PulsePlan, Range, Weights};
use super::*;

/// One slot that runs.
struct Running {
    job: String,
    processes: u32,
    since_ms: u64,
    parameters: BTreeMap<String, String>,
    pulses: Vec<u8>,
}

/// What runs after a number of decisions, by a book that is kept from the decisions alone.
#[derive(Default)]
struct Book {
    running: BTreeMap<u32, Running>,
    defined: Vec<u8>,
    last_ms: u64,
}

impl Book {
    fn take(&mut self, plan: &Plan, decision: &Decision) {
        assert!(decision.at_ms >= self.last_ms, "time goes on: {decision}");
        self.last_ms = decision.at_ms;
        let job = |name: &str| plan.jobs.iter().find(|job| job.name == name).expect("a job of the plan");
        match &decision.action {
            Action::Start { slot, job: name, processes, seed, parameters, pulses } => {
                let of = job(name);
                assert!((of.processes.least..=of.processes.most).contains(processes), "{decision}");
                assert!(processes.is_multiple_of(of.multiple_of) && *seed > 0, "{decision}");
                self.check_parameters(of, parameters);
                assert_eq!(parameters.len(), of.parameters.len() + of.changes.len());
                self.check_pulses(of, pulses);
                let (job, parameters, pulses) = (name.clone(), parameters.clone(), pulses.clone());
                let started = Running { job, processes: *processes, since_ms: decision.at_ms, parameters, pulses };
                assert!(self.running.insert(*slot, started).is_none(), "a slot is one start: {decision}");
            }
            Action::Stop { slot } => {
                let ended = self.running.remove(slot).expect("it runs");
                let (lived, may) = (decision.at_ms - ended.since_ms, job(&ended.job).lifetime);
                assert!(lived >= may.least.as_millis() as u64 && lived <= may.most.as_millis() as u64, "{decision}");
            }
            Action::Change { slot, parameters } => {
                let of = job(&self.running[slot].job);
                assert!(parameters.keys().all(|name| of.changes.contains_key(name)), "{decision}");
                self.check_parameters(of, parameters);
                let now = &mut self.running.get_mut(slot).expect("it runs").parameters;
                assert!(
                    parameters.iter().any(|(name, value)| now.get(name) != Some(value)),
                    "it is a change: {decision}"
                );
                now.extend(parameters.clone());
            }
            Action::Pulses { slot, pulses } => {
                let of = job(&self.running[slot].job);
                self.check_pulses(of, pulses);
                let now = &mut self.running.get_mut(slot).expect("it runs").pulses;
                assert_ne!(now, pulses, "it is a change: {decision}");
                now.clone_from(pulses);
            }
            Action::Pulse { pulse, block_ms, free_ms, phase_ms } => {
                let of = plan.pulses.iter().find(|known| known.number == *pulse).expect("a pulse of the plan");
                let within =
                    |ms: u64, range: Range<Duration>| (range.least..=range.most).contains(&Duration::from_millis(ms));
                assert!(within(*block_ms, of.block) && within(*free_ms, of.free), "{decision}");
                assert!(*phase_ms < block_ms + free_ms, "{decision}");
                self.defined.push(*pulse);
            }
        }
        self.check_limits(plan);
    }

    fn check_parameters(&self, of: &JobPlan, parameters: &BTreeMap<String, String>) {
        for (name, value) in parameters {
            let values = of.parameters.get(name).or_else(|| of.changes.get(name)).expect("a parameter of the plan");
            assert!(values.contains(value), "{name}={value}");
        }
    }

    fn check_pulses(&self, of: &JobPlan, pulses: &[u8]) {
        assert!(pulses.iter().all(|pulse| of.pulses.contains(pulse) && self.defined.contains(pulse)), "{pulses:?}");
        assert!(pulses.windows(2).all(|pair| pair[0] < pair[1]) && pulses.len() <= 8, "{pulses:?}");
    }

    fn check_limits(&self, plan: &Plan) {
        assert!(self.running.len() <= plan.jobs_max as usize);
        assert!(self.running.values().map(|running| running.processes).sum::<u32>() <= plan.processes_max);
        for job in &plan.jobs {
            let count = self.running.values().filter(|running| running.job == job.name).count();
            assert!(count <= job.at_once_max as usize, "{count} of {}", job.name);
        }
    }
}

fn range(least: u64, more: u64) -> Range<Duration> {
    Range { least: Duration::from_millis(least), most: Duration::from_millis(least + more) }
}

fn job() -> impl Strategy<Value = JobPlan> {
    let numbers = (1_u32..5, 1_u32..4, 1_u32..4, 0_u32..6, 1_u32..4);
    let times = (100_u64..20_000, 0_u64..60_000);
    let extras = (0_usize..3, 0_usize..3, prop::collection::btree_set(0_u8..4, 0..3));
    (numbers, times, extras).prop_map(
        |((weight, step, least, more, at_once_max), (life, longer), (fixed, live, pulses))| {
            let values = |count: usize, kinds: usize, letter: char| {
                let several = |name: usize| (0..kinds).map(|value| format!("{name}{value}")).collect::<Vec<_>>();
                (0..count).map(|name| (format!("{letter}{name}"), several(name))).collect::<BTreeMap<_, _>>()
            };
            JobPlan {
                name: String::new(),
                module: "m".into(),
                weight,
                on: String::new(),
                resources: String::new(),
                reservation: 0,
                processes: Range { least: least * step, most: (least + more) * step },
                multiple_of: step,
                lifetime: range(life, longer),
                at_once_max,
                parameters: values(fixed, 1, 'p'),
                changes: values(live, 3, 'c'),
                pulses: pulses.into_iter().collect(),
            }
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let weights = (1_u32..5, 0_u32..4, 0_u32..4, 0_u32..4, 0_u32..4);
    (prop::collection::vec(job(), 1..5), weights, 1_u32..6, 20_u32..60, 100_u64..5_000, 0_u64..20_000).prop_map(
        |(mut jobs, (start, stop, change, pulses, pulse), jobs_max, processes_max, pause, longer)| {
            jobs.iter_mut().enumerate().for_each(|(index, job)| job.name = format!("job-{index}"));
            let pulse_plan = |number| PulsePlan { number, block: range(1, 3_000), free: range(500, 0) };
            Plan {
                jobs_max,
                processes_max,
                pause: range(pause, longer),
                weights: Weights { start, stop, change, pulses, pulse },
                jobs,
                pulses: (0..4).map(pulse_plan).collect(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_limits_are_never_broken(plan in plan(), seed in any::<u64>()) {
        let mut book = Book::default();
        Sequence::new(&plan, seed).take(300).for_each(|decision| book.take(&plan, &decision));
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_one_another(plan in plan(), seed in any::<u64>()) {
        let sequence = |seed| Sequence::new(&plan, seed).take(200).collect::<Vec<_>>();
        prop_assert_eq!(sequence(seed), sequence(seed));
        prop_assert_ne!(sequence(seed), sequence(seed.wrapping_add(1)));
    }
}

const FILE: &str = r#"
jobs_max = 3
processes_max = 100
pause = ["1s", "5s"]
weights = { start = 4, stop = 1 }
[[job]]
name = "disks"
module = "high-io"
processes = [4, 20]
lifetime = ["10s", "30s"]
parameters = { file_size = "8MiB", block_size = ["4KiB", "64KiB"] }
changes = { iops_max = ["0", "100"] }
pulses = [7]
[[job]]
name = "net"
module = "tcp"
processes = [2, 8]
multiple_of = 2
lifetime = ["10s", "1m"]
at_once_max = 2
[[pulse]]
number = 7
block = ["500ms", "2s"]
free = ["1s", "3s"]
"#;

#[test]
fn a_file_says_what_a_mix_may_do() {
    let plan = parse(FILE).expect("it is a good file");
    assert_eq!((plan.jobs_max, plan.processes_max, plan.jobs.len()), (3, 100, 2));
    assert_eq!(plan.pause, Range { least: Duration::from_secs(1), most: Duration::from_secs(5) });
    assert_eq!((plan.weights.stop, plan.weights.change), (1, 3), "what is not said has its default");
    assert_eq!(plan.jobs[0].parameters["file_size"], ["8MiB"]);
    assert_eq!((plan.jobs[1].multiple_of, plan.jobs[1].at_once_max), (2, 2));
}

/// A sequence that was written down once: a later release of a library, or of ours, that would give another one is noticed here.
#[test]
fn a_seed_gives_the_sequence_that_it_has_always_given() {
    let plan = parse(FILE).expect("it is a good file");
    let lines: Vec<String> = Sequence::new(&plan, 7).take(14).map(|decision| decision.to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_wrong_file_is_told_in_one_line() {
    let why = |from: &str, to: &str| {
        assert!(FILE.contains(from), "{from}");
        parse(&FILE.replacen(from, to, 1)).expect_err("it is wrong")
    };
    assert!(why("jobs_max = 3", "jobs_mx = 3").contains("jobs_mx"));
    assert!(why("jobs_max = 3", "jobs_max = 0").contains("nothing could be started"));
    assert!(why("\"net\"", "\"disks\"").contains("`disks` is there twice"));
    assert!(why("[4, 20]", "[20, 4]").contains("job `disks`: processes"));
    assert!(why("[2, 8]", "[3, 8]").contains("job `net`: processes"));
    assert!(why("[4, 20]", "[101, 200]").contains("more than processes_max"));
    assert!(why("pulses = [7]", "pulses = [8]").contains("pulse 8 has no [[pulse]] table"));
    assert!(why("[\"0\", \"100\"]", "\"100\"").contains("can not be changed"));
    assert!(why("[\"1s\", \"5s\"]", "[\"5s\", \"1s\"]").contains("pause is [least, most]"));
    assert!(why("[\"500ms\", \"2s\"]", "[\"0s\", \"2s\"]").contains("pulse 7: block"));
    assert!(why("number = 7", "number = 256").starts_with("line "));
}
