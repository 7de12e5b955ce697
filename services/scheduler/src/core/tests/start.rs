//! Starts: what is refused, in which words, and what is accepted.

use super::*;

/// What makes a start wrong.
type Wrong = Box<dyn Fn(&mut Start)>;

/// The refusal of a start that `change` made wrong.
fn refusal(lab: &mut Lab, change: impl Fn(&mut Start)) -> String {
    let mut wrong = start(4);
    change(&mut wrong);
    lab.start_as(&wrong).expect_err("it is refused").to_string()
}

#[test]
fn a_wrong_start_says_what_why_and_what_next() {
    let mut lab = Lab::with(2);
    let parameter = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let cases: Vec<(Wrong, &str)> = vec![
        (
            Box::new(|s| s.module = "hihg-io".into()),
            "start hihg-io: no module `hihg-io` is in the catalogue; did you mean `high-io`? `muster module list` shows all",
        ),
        (
            Box::new(|s| s.module = "tcp".into()),
            "start tcp: no module `tcp` is in the catalogue; `muster module list` shows what there is",
        ),
        (
            Box::new(|s| s.module = "high-io@2.0".into()),
            "start high-io@2.0: the catalogue has version 1.0 of high-io, not 2.0; start high-io@1.0, or add version 2.0 with \
             `muster module add`",
        ),
        (
            Box::new(|s| s.count.number = 0),
            "start high-io: 0 processes were asked for; one start has 1 to 65535; give --processes, 1 or more",
        ),
        (
            Box::new(|s| s.count.number = 65_536),
            "start high-io: 65536 processes were asked for; one start has 1 to 65535; start several jobs",
        ),
        (
            Box::new(move |s| s.parameters = parameter("blok", "4KiB")),
            "start high-io: it has no parameter `blok`; did you mean `block`? its parameters are block, iops_max, mode, sync",
        ),
        (
            Box::new(move |s| s.parameters = parameter("block", "4K")),
            "start high-io: parameter `block` is `4K`: `K` may mean two things: write `KiB` (binary) or `KB` (decimal); \
             give block=SIZE (as 4KiB): size of a transfer",
        ),
        (
            Box::new(move |s| s.parameters = parameter("block", "100")),
            "start high-io: parameter `block` is `100`: the least is 512; give block=SIZE (as 4KiB): size of a transfer",
        ),
        (
            Box::new(move |s| s.parameters = parameter("block", "2MiB")),
            "start high-io: parameter `block` is `2MiB`: the greatest is 1MiB; give block=SIZE (as 4KiB): size of a transfer",
        ),
        (
            Box::new(move |s| s.parameters = parameter("mode", "write")),
            "start high-io: parameter `mode` is `write`: possible are mixed, read; give mode=mixed|read",
        ),
        (
            Box::new(move |s| s.parameters = parameter("sync", "yes")),
            "start high-io: parameter `sync` is `yes`: only `true` and `false` are possible; give sync=true|false",
        ),
        (
            Box::new(|s| s.selector = "node-3".into()),
            "start high-io: no machine `node-3` is known; did you mean `node-1`? `muster machine list` shows all",
        ),
        (
            Box::new(|s| s.selector = "cpus>=16".into()),
            "start high-io: none of 2 machines fit: 2 not selected (`cpus>=16` matches none of 2 machines); nearest is node-1: change the selector; \
             `muster machine list` shows what it can compare",
        ),
        (
            Box::new(|s| s.reservation = ReservationId(7)),
            "start high-io: reservation 7 holds no machine; `muster reservation list` shows what each reservation holds",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refusal(&mut lab, change), expected);
    }
}

#[test]
fn a_missing_parameter_is_named_with_its_form() {
    let mut lab = Lab::with(1);
    let mut module = high_io();
    module.parameters[0].required = true;
    lab.give(Input::AddModule(Box::new(module))).expect("it is a good module");
    let text = refusal(&mut lab, |_| ());
    assert_eq!(text, "start high-io: parameter `block` is missing; give block=SIZE (as 4KiB): size of a transfer");
}

#[test]
fn a_wrong_selector_marks_its_place() {
    let mut lab = Lab::with(1);
    let mut wrong = start(1);
    wrong.selector = "cpus>=4 and xyz=1".into();
    let refusal = lab.start_as(&wrong).expect_err("it is refused");
    let place = refusal.place.expect("it marks a place");
    assert_eq!(&place.text[place.from..place.to], "xyz");
}

#[test]
fn nothing_that_fits_is_counted_by_reason() {
    let mut lab = Lab::with(5);
    let flag = |flag, value| Fact::FlagChanged { flag, value };
    lab.machines(vec![
        ("node-1", flag(Flag::Active, false)),
        ("node-2", Fact::HealthChanged { down: true }),
        ("node-3", Fact::DrainingStarted),
        (
            "node-4",
            Fact::ProtectionChanged {
                protected: ["disk-0".to_owned(), "disk-1".to_owned()].into(),
                released: BTreeSet::new(),
                machine: false,
            },
        ),
        ("node-5", Fact::EpochRaised { epoch: Epoch(1), reservation: ReservationId(3) }),
    ]);
    let expected = "start high-io: none of 5 machines fit: 1 held by a reservation, 1 inactive, 1 down, 1 draining, \
                    1 with 0 of 1 disk that may be used; nearest is node-4: `muster resource list node-4` shows which disks \
                    are protected; release some";
    assert_eq!(refusal(&mut lab, |_| ()), expected);
}

#[test]
fn machines_that_have_too_little_are_not_told_to_release_it() {
    let mut lab = Lab::with(0);
    lab.add_machine("node-1", 2, 0);
    let text = refusal(&mut lab, |_| ());
    assert_eq!(
        text,
        "start high-io: none of 1 machine fits: 1 with 0 of 1 disk that may be used; nearest is node-1: it has 0 disks in all; \
         choose or add machines with more"
    );
}

#[test]
fn without_machines_it_says_how_to_get_one() {
    let mut lab = Lab::with(0);
    let text = refusal(&mut lab, |_| ());
    assert_eq!(
        text,
        "start high-io: no machine is known; start an agent on a machine, then `muster machine activate` it"
    );
}

#[test]
fn silent_machines_are_not_placed_on() {
    let mut lab = Lab::with(2);
    lab.heartbeat("node-1", Position::default());
    lab.wait(Duration::from_secs(4));
    lab.heartbeat("node-2", Position::default());
    lab.start(4);
    assert!((1..=4).all(|process| lab.process(1, process).machine == machine("node-2")));
}

#[test]
fn where_nobody_at_all_is_heard_a_start_is_to_be_tried_again() {
    let mut lab = Lab::with(2);
    for name in ["node-1", "node-2"] {
        lab.heartbeat(name, Position::default());
    }
    lab.wait(Duration::from_secs(5));
    let refused = lab.start_as(&start(4)).expect_err("nobody is heard");
    assert_eq!(refused.code, RefusalCode::Unavailable);
    assert_eq!(refused.why, "no agent at all was heard for 5 s: the bus, or the scheduler, was away");
    lab.wait(Duration::from_secs(11));
    let refused = lab.start_as(&start(4)).expect_err("they are silent");
    assert_eq!(refused.code, RefusalCode::Refused, "by now it is the machines");
}

#[test]
fn a_start_places_logs_and_replies_the_same() {
    let mut lab = Lab::with(2);
    let started = lab.start(4);
    assert_eq!((started.job, started.balance_milli), (JobNumber(1), 1000));
    assert!(started.seed != 0, "a seed is derived from the command");
    let job = &lab.state.jobs[&JobNumber(1)];
    assert_eq!(job.spec.parameters[0], ("block".to_owned(), "4KiB".to_owned()), "defaults are filled in");
    assert_eq!(job.spec.actor, "user:anna");
    assert_eq!(job.by_state.of(ProcessState::Starting), 4);
    let Some(Event::JobStarted(logged)) = lab.last.first() else { panic!("it is logged") };
    assert_eq!(logged.placements, started.placements);
    assert_eq!(lab.state.machines["node-1"].generation, Position::new(1, 4), "the position of the start");
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut lab = Lab::with(2);
    let before = lab.state.clone();
    let mut dry = start(4);
    dry.dry_run = true;
    let started = lab.start_as(&dry).expect("it would start");
    assert_eq!((started.job, started.placements.len()), (JobNumber(0), 2));
    assert_eq!(lab.state, before);
}

#[test]
fn a_reservation_is_started_on_its_own_machines_alone() {
    let mut lab = Lab::with(2);
    lab.machines(vec![
        ("node-2", Fact::EpochRaised { epoch: Epoch(1), reservation: ReservationId(7) }),
        ("node-2", Fact::FenceReported(Epoch(1))),
    ]);
    let mut reserved = start(2);
    reserved.reservation = ReservationId(7);
    lab.start_as(&reserved).expect("it starts");
    lab.start(2);
    assert_eq!((&lab.process(1, 1).machine, lab.process(1, 1).epoch), (&machine("node-2"), epoch(1)));
    assert_eq!(lab.process(2, 1).machine, machine("node-1"), "the pool's machines");
}

#[test]
fn a_new_run_is_refused_while_anything_runs_and_numbers_from_1_again() {
    let mut lab = Lab::with(1);
    lab.start(2);
    let refused = lab.give(Input::NewRun).expect_err("it is refused").to_string();
    assert_eq!(
        refused,
        "begin run 2: job 1 (high-io, 2 of 2 processes) still runs; `muster stop --all`, and try again when all have ended"
    );
    for process in 1..=2 {
        lab.report(1, process, ProcessState::Finished);
    }
    lab.give(Input::NewRun).expect("nothing runs");
    assert_eq!((lab.state.run.0, lab.state.jobs.len(), lab.state.processes.len()), (2, 0, 0));
    assert_eq!(lab.start(1).job, JobNumber(1));
}

#[test]
fn the_same_module_again_is_no_change_and_a_bad_one_is_refused() {
    let mut lab = Lab::with(0);
    let again = lab.give(Input::AddModule(Box::new(high_io()))).expect("it is a good module");
    assert!(matches!(again, Some(Reply::ModuleChanged { unchanged: true, .. })) && lab.last.is_empty());
    let mut bad = high_io();
    bad.artifacts.clear();
    let text = lab.give(Input::AddModule(Box::new(bad))).expect_err("nothing could run").to_string();
    assert!(text.starts_with("add module high-io: it has no artifact"), "{text}");
    let mut bad = high_io();
    bad.parameters[0].default = "huge".into();
    let text = lab.give(Input::AddModule(Box::new(bad))).expect_err("its default is wrong").to_string();
    assert!(text.contains("the default of parameter `block` is `huge`"), "{text}");
    lab.give(Input::RemoveModule("high-io".into())).expect("it is there");
    assert!(lab.give(Input::RemoveModule("high-io".into())).is_err());
}
