//! Triggers: who may be armed, how long an arm lasts, what its agent is told, and what is remembered of a firing.

use muster_model::{
    Firing, FiringId, FiringSource, TriggerActed, TriggerAction, TriggerActionError, TriggerNumber, TriggerOutcome,
};

use super::super::desired;
use super::super::input::{Arm, Armed, Disarm, Effect, Fire};
use super::super::limits::{ARMS_MAX_BYTES, FIRINGS_MAX, SILENT_AFTER};
use super::*;

pub(super) fn arm(number: u32, on: &str, action: &str) -> Arm {
    let (word, argument) = action.split_once(' ').unwrap_or((action, ""));
    Arm {
        actor: "user:anna".into(),
        number,
        selector: on.into(),
        from_jobs: Vec::new(),
        from_selector: String::new(),
        action: TriggerAction::parse(word, argument),
        reservation: ReservationId(0),
    }
}

/// A lab whose machines are heard of.
fn heard(machines: usize) -> Lab {
    let mut lab = Lab::with(machines);
    hear(&mut lab);
    lab
}

pub(super) fn hear(lab: &mut Lab) {
    let machines: Vec<(String, Position)> =
        lab.state.machines.iter().map(|(id, machine)| (id.to_string(), machine.generation)).collect();
    machines.iter().for_each(|(id, generation)| lab.heartbeat(id, *generation));
}

fn armed(lab: &mut Lab, arm: Arm) -> Result<Armed, Refusal> {
    match lab.give(Input::Arm(Box::new(arm)))? {
        Some(Reply::Armed(armed)) => Ok(armed),
        other => panic!("arming answers {other:?}"),
    }
}

fn refused(lab: &mut Lab, arm: Arm) -> String {
    armed(lab, arm).expect_err("it is refused").to_string()
}

pub(super) fn fire(lab: &mut Lab, number: u32, reservation: u64) -> Result<(Firing, Vec<MachineId>), Refusal> {
    let fire = Fire {
        command: CommandId([number as u8; 16]),
        actor: "user:anna".into(),
        number,
        note: "look".into(),
        reservation: ReservationId(reservation),
    };
    match lab.give(Input::Fire(fire))? {
        Some(Reply::Fired { firing, machines }) => Ok((*firing, machines)),
        other => panic!("firing answers {other:?}"),
    }
}

fn arms_of(lab: &Lab, id: &str) -> Vec<u8> {
    lab.state.machines[id].arms.keys().map(|number| number.0).collect()
}

pub(super) fn acted(lab: &Lab, id: &str, firing: &Firing, outcome: TriggerOutcome) -> TriggerActed {
    let arm = &lab.state.machines[id].arms[&firing.number];
    TriggerActed {
        firing: firing.id,
        number: firing.number,
        machine: machine(id),
        epoch: arm.epoch,
        action: arm.spec.action.clone(),
        outcome,
        detail: String::new(),
        latency: Duration::from_micros(700),
        fired: firing.fired,
        fired_by: firing.source.machine().cloned(),
        arm: Some(arm.id),
    }
}

#[test]
fn an_arm_reaches_its_machines_as_a_whole_list() {
    let mut lab = heard(3);
    let reply = armed(&mut lab, arm(3, "node-[nothing] or node-1,node-2", "dump-history"));
    assert!(reply.is_err(), "a selector that can not be read is refused");
    let reply = armed(&mut lab, arm(3, "node-1,node-2", "dump-history")).expect("they can be armed");
    assert_eq!(reply.machines, [(machine("node-1"), epoch(0)), (machine("node-2"), epoch(0))]);
    armed(&mut lab, arm(255, "node-1", "packet")).expect("it can be armed");
    let effects = JobCore::wanted(&lab.state, &lab.observed, muster_ledger::Scope::Full, lab.time);
    let told = effects.iter().map(|effect| match effect {
        Effect::SendUpdate(update) => (update.machine.to_string(), update.desired.arms.len()),
        Effect::ListKnown { machine, .. } => panic!("{machine} is asked for its list"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [("node-1".to_owned(), 2), ("node-2".to_owned(), 1)]);
    let (generation, list) = desired(&lab.state, &machine("node-1"), &[]);
    assert_eq!((generation, list.arms.len()), (lab.state.machines["node-1"].generation, 2));
    assert_eq!(arms_of(&lab, "node-1"), [3, 255]);
}

#[test]
fn a_new_arm_of_a_number_replaces_the_old_one() {
    let mut lab = heard(2);
    armed(&mut lab, arm(3, "*", "dump-history")).expect("they can be armed");
    let first = lab.state.machines["node-1"].arms[&TriggerNumber(3)].id;
    armed(&mut lab, arm(3, "node-1", "packet")).expect("it can be armed");
    let second = &lab.state.machines["node-1"].arms[&TriggerNumber(3)];
    assert!(second.id > first && second.spec.action == TriggerAction::Packet);
    assert_eq!(lab.state.machines["node-2"].arms[&TriggerNumber(3)].spec.action, TriggerAction::DumpHistory);
}

#[test]
fn what_may_not_be_armed_is_refused_with_what_to_do() {
    let mut lab = heard(3);
    let shield = |machine| Fact::ProtectionChanged { protected: BTreeSet::new(), released: BTreeSet::new(), machine };
    lab.machines(vec![
        ("node-2", shield(true)),
        ("node-3", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(7) }),
        ("node-3", Fact::FenceReported(epoch(1))),
    ]);
    assert_eq!(
        refused(&mut lab, arm(256, "node-1", "packet")),
        "arm trigger 256: there is no trigger 256; give a number from 0 to 255"
    );
    let action = "arm trigger 3: `boom` is no action of a trigger; an action is crash, sysrq KEY, command NAME, \
        dump-history, packet or stop-job [JOB]";
    assert_eq!(refused(&mut lab, arm(3, "node-1", "boom")), action);
    assert_eq!(
        refused(&mut lab, arm(3, "node-2", "packet")),
        "arm trigger 3: node-2 is protected; nothing touches a protected machine; choose others"
    );
    assert_eq!(
        refused(&mut lab, arm(3, "node-3", "packet")),
        "arm trigger 3: node-3 is held by reservation 7; arm it in the name of its holder, with --reservation"
    );
    assert_eq!(
        refused(&mut lab, Arm { reservation: ReservationId(7), ..arm(3, "node-1", "packet") }),
        "arm trigger 3: node-1 belongs to the pool; arm it in the name of its holder, with --reservation"
    );
    let forbidden = refused(&mut lab, arm(3, "node-1", "crash"));
    assert!(forbidden.starts_with("arm trigger 3: node-1 does not permit `crash` by its policy file; "), "{forbidden}");
    assert!(refused(&mut lab, arm(3, "node-9", "packet")).contains("no machine `node-9` is known"));
    assert!(refused(&mut lab, arm(3, "x*", "packet")).contains("no machine fits `x*`"));
    assert!(refused(&mut lab, arm(3, " ", "packet")).contains("no machines are named"));
    let from = Arm { from_jobs: vec![JobNumber(4)], ..arm(3, "node-1", "packet") };
    assert!(refused(&mut lab, from).contains("run 1 has no jobs yet"));
    assert!(refused(&mut lab, arm(3, "node-1", "stop-job 4")).contains("run 1 has no jobs yet"));
    let from = Arm { from_selector: "tag=none".into(), ..arm(3, "node-1", "packet") };
    assert!(refused(&mut lab, from).contains("no machine fits `tag=none`, and none could fire it"));
    let all = armed(&mut lab, arm(3, "*", "packet")).expect("one can be armed");
    assert_eq!(all.machines, [(machine("node-1"), epoch(0))]);
    let whys: Vec<&str> = all.skipped.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(whys, ["is protected", "is held by reservation 7"]);
    lab.wait(SILENT_AFTER + Duration::from_secs(1));
    assert!(refused(&mut lab, arm(3, "node-1", "packet")).contains("node-1 was not heard of lately"));
}

#[test]
fn a_machine_is_told_only_so_much_about_its_triggers() {
    let mut lab = heard(100);
    let many = |number| Arm { from_selector: "*".into(), ..arm(number, "node-1", "packet") };
    let most = (0..=255).take_while(|number| armed(&mut lab, many(*number)).is_ok()).count();
    assert!((ARMS_MAX_BYTES / 2_000..255).contains(&most), "{most}");
    assert!(refused(&mut lab, many(255)).contains("would be told more than 64 KiB about its triggers"));
    armed(&mut lab, many(0)).expect("the same number is armed in place of itself");
}

#[test]
fn a_raised_epoch_removes_the_arms_of_the_old_one() {
    let mut lab = heard(2);
    armed(&mut lab, arm(3, "*", "dump-history")).expect("they can be armed");
    lab.machines(vec![("node-1", Fact::TagsSet(BTreeSet::new()))]);
    assert_eq!(arms_of(&lab, "node-1"), [3]);
    let generation = lab.state.machines["node-1"].generation;
    lab.machines(vec![("node-1", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(7) })]);
    assert!(arms_of(&lab, "node-1").is_empty() && arms_of(&lab, "node-2") == [3]);
    assert!(lab.state.machines["node-1"].generation > generation, "its agent is told");
    let (_, machines) = fire(&mut lab, 3, 0).expect("one is armed");
    assert_eq!(machines, [machine("node-2")]);
}

#[test]
fn firing_moves_nobody_by_itself_and_only_for_the_own_holder() {
    let mut lab = heard(2);
    assert!(fire(&mut lab, 300, 0).is_err());
    let nobody = fire(&mut lab, 3, 0).expect_err("nobody is armed").to_string();
    assert!(nobody.starts_with("fire trigger 3: no machine is armed for it; "), "{nobody}");
    lab.machines(vec![
        ("node-2", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(7) }),
        ("node-2", Fact::FenceReported(epoch(1))),
    ]);
    armed(&mut lab, Arm { reservation: ReservationId(7), ..arm(3, "node-2", "packet") }).expect("its holder may");
    let foreign = fire(&mut lab, 3, 0).expect_err("another one's").to_string();
    assert!(foreign.contains("node-2 is held by reservation 7"), "{foreign}");
    let (firing, machines) = fire(&mut lab, 3, 7).expect("its holder may");
    assert_eq!((machines, firing.reservation), (vec![machine("node-2")], ReservationId(7)));
    assert_eq!(firing.source, FiringSource::Person("user:anna".into()));
    assert_eq!(arms_of(&lab, "node-2"), [3], "it stays armed");
    assert_eq!(lab.state.firings.len(), 1);
}

#[test]
fn the_first_word_of_a_machine_about_a_firing_counts() {
    let mut lab = heard(2);
    armed(&mut lab, arm(3, "*", "dump-history")).expect("they can be armed");
    let source = FiringSource::Process { machine: machine("node-1"), epoch: epoch(0), process: Default::default() };
    let (id, number, fired) = (FiringId([9; 16]), TriggerNumber(3), lab.time);
    let firing = Firing { id, number, source, fired, note: String::new(), reservation: ReservationId(0) };
    let of = |lab: &Lab, id, outcome| Report::TriggerActed(Box::new(acted(lab, id, &firing, outcome)));
    let early = of(&lab, "node-2", TriggerOutcome::Acted);
    lab.report_batch(&machine("node-2"), vec![early]);
    assert_eq!(
        (lab.state.firings.len(), lab.state.firings[0].firing.is_some()),
        (1, false),
        "before the firing's own word"
    );
    let own = vec![Report::TriggerFired(Box::new(firing.clone())), of(&lab, "node-1", TriggerOutcome::Acted)];
    lab.report_batch(&machine("node-1"), own);
    let late = of(&lab, "node-2", TriggerOutcome::Missed);
    lab.report_batch(&machine("node-2"), vec![late]);
    let foreign = vec![of(&lab, "node-1", TriggerOutcome::Failed), Report::TriggerFired(Box::new(firing.clone()))];
    lab.report_batch(&machine("node-2"), foreign);
    let known = &lab.state.firings[0];
    assert_eq!((lab.state.firings.len(), known.firing.as_ref()), (1, Some(&firing)));
    let outcomes: Vec<_> = known.acted.iter().map(|acted| (acted.machine.as_str(), acted.outcome)).collect();
    assert_eq!(outcomes, [("node-1", TriggerOutcome::Acted), ("node-2", TriggerOutcome::Acted)]);
    assert_eq!(lab.replayed(), lab.state);
}

#[test]
fn what_crashed_is_not_armed_any_more() {
    let mut lab = Lab::with(1);
    lab.policy = TriggerPolicy { crash: true, ..TriggerPolicy::default() };
    hear(&mut lab);
    armed(&mut lab, arm(3, "node-1", "crash")).expect("its policy permits it");
    let (firing, _) = fire(&mut lab, 3, 0).expect("it is armed");
    let say = |lab: &mut Lab, acted: TriggerActed| {
        lab.report_batch(&machine("node-1"), vec![Report::TriggerActed(Box::new(acted))]);
    };
    let missed = acted(&lab, "node-1", &firing, TriggerOutcome::Missed);
    say(&mut lab, missed);
    assert_eq!(arms_of(&lab, "node-1"), [3], "what was missed is armed still");
    let crashed =
        TriggerActed { firing: FiringId([8; 16]), ..acted(&lab, "node-1", &firing, TriggerOutcome::BrokenOff) };
    armed(&mut lab, arm(3, "node-1", "crash")).expect("it is armed again");
    say(&mut lab, crashed.clone());
    assert_eq!(arms_of(&lab, "node-1"), [3], "another arm of the number than the one that crashed");
    let own = TriggerActed {
        firing: FiringId([7; 16]),
        arm: Some(lab.state.machines["node-1"].arms[&firing.number].id),
        ..crashed
    };
    say(&mut lab, own);
    assert!(arms_of(&lab, "node-1").is_empty());
}

#[test]
fn disarming_takes_away_what_is_named_and_is_repeatable() {
    let mut lab = heard(2);
    armed(&mut lab, arm(3, "*", "dump-history")).expect("they can be armed");
    armed(&mut lab, arm(4, "*", "dump-history")).expect("they can be armed");
    let disarm = |lab: &mut Lab, disarm| match lab.give(Input::Disarm(disarm)).expect("it is not refused") {
        Some(Reply::Armed(armed)) => armed.disarmed,
        other => panic!("disarming answers {other:?}"),
    };
    let one = Disarm { numbers: vec![3], selector: "node-1".into(), ..Disarm::default() };
    assert_eq!((disarm(&mut lab, one.clone()), disarm(&mut lab, one)), (1, 0));
    assert_eq!((arms_of(&lab, "node-1"), arms_of(&lab, "node-2")), (vec![4], vec![3, 4]));
    assert_eq!(disarm(&mut lab, Disarm { all: true, ..Disarm::default() }), 3);
    assert!(lab.give(Input::Disarm(Disarm::default())).is_err(), "nothing was named");
    assert!(lab.give(Input::Disarm(Disarm { numbers: vec![256], ..Disarm::default() })).is_err());
}

#[test]
fn firings_are_bounded_and_a_new_run_forgets_all() {
    let mut lab = heard(1);
    armed(&mut lab, arm(3, "*", "dump-history")).expect("it can be armed");
    for number in 0..=FIRINGS_MAX as u128 {
        let fire = Fire {
            command: CommandId(number.to_be_bytes()),
            actor: "user:anna".into(),
            number: 3,
            note: String::new(),
            reservation: ReservationId(0),
        };
        lab.state_only(Input::Fire(fire));
    }
    assert_eq!(lab.state.firings.len(), FIRINGS_MAX);
    assert_eq!(lab.state.firings[0].id, FiringId(1_u128.to_be_bytes()), "the oldest is forgotten");
    lab.give(Input::NewRun).expect("nothing runs");
    assert!(lab.state.firings.is_empty() && arms_of(&lab, "node-1").is_empty());
}

#[test]
fn an_argument_that_an_action_does_not_take_is_told() {
    let error = TriggerAction::parse("sysrq", "").expect_err("a key is missing");
    assert_eq!(error, TriggerActionError::Argument { action: "sysrq", takes: "one key, a to z or 0 to 9" });
    let mut lab = heard(1);
    let told = refused(&mut lab, Arm { action: Err(error), ..arm(3, "node-1", "packet") });
    assert!(told.starts_with("arm trigger 3: the action sysrq takes one key, a to z or 0 to 9; "), "{told}");
}
