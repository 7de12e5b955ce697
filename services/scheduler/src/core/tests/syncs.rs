//! Sync points: who is awaited, how rounds end, and what each of those who arrived is told.

use muster_ledger::View;

use super::super::input::SyncSaid;
use super::super::limits::{ROUNDS_MAX, ROUNDS_OPEN_MAX};
use super::super::sync::{Answer, Outcome, RoundEnd};
use super::super::wanted;
use super::*;
use crate::explain;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A lab in which so many processes run, each on its own machine.
fn lab(processes: u32) -> Lab {
    let mut lab = Lab::with(processes as usize);
    lab.give(Input::AddModule(Box::new(Module { reboots: true, ..high_io() }))).expect("it is a good module");
    lab.start(processes);
    (1..=processes).for_each(|process| lab.report(1, process, ProcessState::Running));
    lab
}

fn said(lab: &Lab, process: u32, round: u64) -> SyncSaid {
    SyncSaid {
        id: lab.id(1, process),
        epoch: lab.process(1, process).epoch,
        name: "here".into(),
        round,
        vote: true,
        timeout: TIMEOUT,
        with: Vec::new(),
        leaves: false,
    }
}

fn say(lab: &mut Lab, process: u32, said: SyncSaid) {
    let id = lab.process(1, process).machine.clone();
    lab.report_batch(&id, vec![Report::Sync(Box::new(said))]);
}

fn arrive(lab: &mut Lab, process: u32, round: u64) {
    let said = said(lab, process, round);
    say(lab, process, said);
}

/// What the agent of a process is told.
fn told(lab: &Lab, process: u32) -> Option<Answer> {
    let (_, desired) = wanted::desired(&lab.state, &lab.process(1, process).machine, &[]);
    let orders = desired.orders.iter().flat_map(|orders| &orders.processes);
    orders.filter(|order| order.process.0 == process).find_map(|order| order.synced.as_deref().cloned())
}

fn outcome(lab: &Lab, process: u32) -> Outcome {
    told(lab, process).expect("the round is over").told.expect("it took part")
}

fn refusal(lab: &Lab, process: u32) -> String {
    told(lab, process).expect("it is answered").told.expect_err("it may not take part")
}

#[test]
fn a_round_is_complete_once_all_have_come_and_each_is_told_the_votes() {
    let mut lab = lab(3);
    arrive(&mut lab, 1, 1);
    let against = SyncSaid { vote: false, ..said(&lab, 2, 1) };
    say(&mut lab, 2, against);
    assert_eq!([told(&lab, 1), told(&lab, 2)], [None, None]);
    let before = lab.state.machines["node-1"].generation;
    arrive(&mut lab, 3, 1);
    for process in 1..=3 {
        let Outcome { end, yes, no, no_voters } = outcome(&lab, process);
        assert_eq!((end, yes, no, no_voters), (RoundEnd::Complete, 2, 1, vec![ProcessNumber(2)]));
    }
    assert!(lab.state.machines["node-1"].generation > before, "its agent is told");
    arrive(&mut lab, 1, 1);
    assert_eq!(lab.last.len(), 1, "said again, only the batch is noted");
    arrive(&mut lab, 1, 2);
    assert_eq!(told(&lab, 1), None, "the next round is another one");
}

#[test]
fn every_way_in_which_a_round_ends() {
    type Change = fn(&mut Lab);
    let released = |why: &str| RoundEnd::Released { by: ProcessNumber(3), why: why.into() };
    let cases: [(&str, RoundEnd, Change); 9] = [
        ("arrives", RoundEnd::Complete, |lab| arrive(lab, 3, 1)),
        ("leaves", RoundEnd::Complete, |lab| {
            let leaves = SyncSaid { leaves: true, ..said(lab, 3, 1) };
            say(lab, 3, leaves);
        }),
        ("finishes", released("finished"), |lab| lab.report(1, 3, ProcessState::Finished)),
        ("dies", released("dead"), |lab| lab.report(1, 3, ProcessState::Dead)),
        ("reboots unannounced", released("lost"), |lab| {
            let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-2".into() };
            lab.machines(vec![("node-3", granted)]);
        }),
        ("its machine is down", released("its machine node-3 is down"), |lab| {
            lab.machines(vec![("node-3", Fact::HealthChanged { down: true })]);
        }),
        ("its machine is removed", released("lost"), |lab| lab.machines(vec![("node-3", Fact::Removed)])),
        ("does not come", RoundEnd::TimedOut, |lab| {
            lab.wait(TIMEOUT);
            lab.give(Input::Tick).expect("a tick is not refused");
        }),
        ("is unknown to its agent", released("lost"), |lab| lab.hello("node-3", vec![])),
    ];
    for (what, end, change) in cases {
        let mut lab = lab(3);
        assert_eq!(lab.process(1, 3).machine, machine("node-3"));
        arrive(&mut lab, 1, 1);
        arrive(&mut lab, 2, 1);
        change(&mut lab);
        for process in 1..=2 {
            assert_eq!(outcome(&lab, process).end, end, "{what}");
        }
    }
}

#[test]
fn who_is_away_is_awaited_until_its_machine_is_back_and_joins_again_or_is_lost() {
    for comes_back in [true, false] {
        let mut lab = lab(3);
        arrive(&mut lab, 1, 1);
        arrive(&mut lab, 3, 1);
        away::goes(&mut lab, 2);
        lab.machines(vec![("node-2", Fact::HealthChanged { down: true })]);
        assert_eq!(told(&lab, 1), None, "an announced absence is no end");
        if comes_back {
            lab.machines(vec![("node-2", Fact::HealthChanged { down: false })]);
            away::boots(&mut lab, "node-2", 2);
            assert_eq!(told(&lab, 1), None);
            arrive(&mut lab, 2, 1);
            assert_eq!(outcome(&lab, 2).end, RoundEnd::Complete);
        } else {
            lab.wait(TIMEOUT - Duration::from_millis(1));
            lab.give(Input::Tick).expect("a tick is not refused");
            assert_eq!(told(&lab, 1), None);
            lab.wait(Duration::from_millis(1));
            lab.give(Input::Tick).expect("a tick is not refused");
            assert_ne!(outcome(&lab, 1).end, RoundEnd::Complete);
        }
    }
}

#[test]
fn who_arrived_before_its_machine_went_away_has_voted_and_is_told_when_it_asks_again() {
    let mut lab = lab(2);
    arrive(&mut lab, 2, 1);
    away::goes(&mut lab, 2);
    away::boots(&mut lab, "node-2", 2);
    arrive(&mut lab, 1, 1);
    assert_eq!(outcome(&lab, 1).end, RoundEnd::Complete);
    assert_eq!(told(&lab, 2), None, "its next attempt has not asked yet");
    arrive(&mut lab, 2, 1);
    assert_eq!(outcome(&lab, 2).end, RoundEnd::Complete);
}

#[test]
fn late_arrivals_are_told_what_it_came_to() {
    let mut lab = lab(3);
    arrive(&mut lab, 1, 1);
    lab.wait(TIMEOUT);
    lab.give(Input::Tick).expect("a tick is not refused");
    arrive(&mut lab, 2, 1);
    assert_eq!((outcome(&lab, 2).end, outcome(&lab, 2).yes), (RoundEnd::TimedOut, 1));
    lab.report(1, 3, ProcessState::Dead);
    arrive(&mut lab, 2, 2);
    arrive(&mut lab, 1, 2);
    assert_eq!(outcome(&lab, 1).end, RoundEnd::Complete, "who has ended before a round began is not awaited in it");
}

#[test]
fn some_processes_meet_without_the_others() {
    let mut lab = lab(3);
    let with = |lab: &Lab, process: u32, with: &[&str]| {
        let with = with.iter().map(ToString::to_string).collect();
        SyncSaid { with, ..said(lab, process, 1) }
    };
    let first = with(&lab, 1, &["1", "3"]);
    say(&mut lab, 1, first);
    for (process, named, why) in [
        (2, vec!["1", "3"], "it is not among those that it names"),
        (2, vec!["2", "3"], "others wait in this round for other participants"),
        (2, vec!["9"], "job 1 has no process 9"),
        (2, vec!["judge"], "`judge` is no role of module high-io and no number of a process"),
        (2, vec![], "others wait in this round for other participants"),
    ] {
        let said = with(&lab, process, &named);
        say(&mut lab, process, said);
        assert_eq!(refusal(&lab, process), why);
    }
    assert_eq!(told(&lab, 1), None);
    lab.report(1, 2, ProcessState::Dead);
    assert_eq!(told(&lab, 1), None, "who takes no part releases nobody");
    let last = with(&lab, 3, &["3", "1"]);
    say(&mut lab, 3, last);
    assert_eq!((outcome(&lab, 1).end, outcome(&lab, 3).yes), (RoundEnd::Complete, 2));
}

#[test]
fn names_times_and_rounds_have_bounds() {
    let mut lab = lab(2);
    let good = said(&lab, 1, 1);
    for (bad, why) in [
        (SyncSaid { name: String::new(), ..good.clone() }, "a name of 1 to 64 bytes"),
        (SyncSaid { name: "x".repeat(65), ..good.clone() }, "a name of 1 to 64 bytes"),
        (SyncSaid { round: 0, ..good.clone() }, "rounds from 1"),
        (SyncSaid { timeout: Duration::from_millis(999), ..good.clone() }, "1 s to 24 h"),
        (SyncSaid { with: vec!["1".into(); 65], ..good.clone() }, "65 participants are named"),
    ] {
        say(&mut lab, 1, bad);
        assert!(refusal(&lab, 1).contains(why), "{}", refusal(&lab, 1));
    }
    for round in 1..=ROUNDS_OPEN_MAX as u64 {
        say(&mut lab, 1, SyncSaid { round, ..good.clone() });
    }
    assert_eq!(told(&lab, 1), None);
    say(&mut lab, 1, SyncSaid { round: 99, ..good.clone() });
    assert!(refusal(&lab, 1).contains("16 rounds already"), "{}", refusal(&lab, 1));
    let leaves = SyncSaid { leaves: true, ..said(&lab, 2, 1) };
    say(&mut lab, 2, leaves);
    for round in 17..=2 * ROUNDS_MAX as u64 {
        say(&mut lab, 1, SyncSaid { round, ..good.clone() });
    }
    assert_eq!(lab.state.jobs[&JobNumber(1)].rounds.len(), ROUNDS_MAX);
    say(&mut lab, 1, good);
    assert_eq!(refusal(&lab, 1), "this round is over, and not known any more");
}

#[test]
fn what_thousands_say_is_one_event_for_each_batch() {
    let mut lab = Lab::with(4);
    lab.start(400);
    let by_machine = |lab: &Lab, id: &str| {
        let here = (1..=400).filter(|process| lab.process(1, *process).machine == machine(id));
        here.map(|process| Report::Sync(Box::new(said(lab, process, 1)))).collect::<Vec<_>>()
    };
    for id in ["node-1", "node-2", "node-3", "node-4"] {
        let reports = by_machine(&lab, id);
        lab.report_batch(&machine(id), reports);
        assert_eq!(lab.last.len(), 2, "the arrivals, and the batch");
    }
    assert_eq!((outcome(&lab, 1).end, outcome(&lab, 400).yes), (RoundEnd::Complete, 400));
}

#[test]
fn why_names_who_is_awaited() {
    let mut lab = lab(3);
    arrive(&mut lab, 1, 1);
    lab.wait(Duration::from_secs(18));
    let (followed, system) = (BTreeMap::new(), muster_model::SystemId::default());
    let (state, observed, now) = (&lab.state, &lab.observed, lab.now());
    let view = View { state, observed, now, followed: &followed, system };
    let line = "sync point here round 1: 1 have arrived, and wait 42s more for 00010002 (running on node-2), \
                00010003 (running on node-3)";
    assert!(explain::why(&view, dpid(1, 0)).expect("it is known").contains(&line.to_owned()));
    assert!(explain::why(&view, dpid(1, 1)).expect("it is known").contains(&line.to_owned()));
}
