//! The mastership of command centers: who has it, who loses it, and what a read-only center is refused.

use super::super::master::{CenterId, ChangeMaster, MasterReason, MasterWish};
use super::*;

fn center(name: &str) -> CenterId {
    CenterId::new(name).expect("a good id")
}

impl Lab {
    fn wish(&mut self, name: &str, wish: MasterWish) -> Result<Option<String>, Refusal> {
        let actor = format!("user:{name}");
        let change = ChangeMaster { center: center(name), actor, machine: "desk-1".into(), wish };
        match self.give(Input::ChangeMaster(change))? {
            Some(Reply::Master(master)) => Ok(master.map(|master| master.center.to_string())),
            other => panic!("a change of the mastership answers {other:?}"),
        }
    }

    fn given_in(&mut self, name: &str, input: Input) -> Result<Option<Reply>, Refusal> {
        self.give(Input::FromCenter { center: center(name), input: Box::new(input) })
    }

    fn beats(&mut self, heard: &[&str]) {
        let heard = heard.iter().map(|name| center(name)).collect();
        JobCore::observe(&mut self.observed, &self.state, Observation::Centers(heard), self.time);
    }

    /// Seconds pass, in which these centers are heard, and the timers run.
    fn pass(&mut self, seconds: u64, heard: &[&str]) {
        for _ in 0..seconds {
            self.wait(Duration::from_secs(1));
            self.beats(heard);
            self.give(Input::Tick).expect("a tick is not refused");
        }
    }

    fn master(&self) -> Option<&str> {
        self.state.master.as_ref().map(|master| master.center.as_str())
    }
}

#[test]
fn the_first_center_is_master_until_it_gives_it_up_or_another_takes_it() {
    let mut lab = Lab::with(1);
    assert_eq!(lab.wish("anna", MasterWish::Take), Ok(Some("anna".into())));
    let since = lab.time;
    lab.wait(Duration::from_secs(90));
    assert_eq!(lab.wish("anna", MasterWish::TakeOver), Ok(Some("anna".into())), "it has it already");
    assert_eq!((lab.last.len(), lab.state.master.as_ref().map(|master| master.since)), (0, Some(since)));
    let refusal = lab.wish("bert", MasterWish::Take).expect_err("it is taken");
    assert!(refusal.why.contains("anna on desk-1") && refusal.why.contains("1m30s"), "{refusal}");
    assert!(refusal.next.contains("--take-over"), "{refusal}");
    assert!(lab.wish("bert", MasterWish::Release).is_err(), "it is not his to give");
    assert_eq!(lab.wish("bert", MasterWish::TakeOver), Ok(Some("bert".into())));
    assert!(matches!(&lab.last[..], [Event::MasterChanged(changed)] if changed.reason == MasterReason::TakenOver));
    assert_eq!(lab.wish("bert", MasterWish::Release), Ok(None));
    assert!(lab.wish("bert", MasterWish::Release).is_err(), "there is none");
    assert_eq!(lab.replayed().master, None);
}

#[test]
fn a_read_only_center_gives_no_commands_of_job_control_and_scripts_give_all() {
    let mut lab = Lab::with(1);
    lab.wish("anna", MasterWish::Take).expect("nobody has it");
    lab.given_in("anna", Input::Start(start(2))).expect("the master may");
    let commands = [
        Input::Start(start(1)),
        Input::Stop(stop_job(1, NO_GRACE)),
        Input::AddModule(Box::new(high_io())),
        Input::RemoveModule("high-io".into()),
        Input::NewRun,
    ];
    for command in commands {
        let refusal = lab.given_in("bert", command.clone()).expect_err("it is read-only");
        assert_eq!((refusal.code, &refusal.what), (RefusalCode::Refused, &command.name()), "{refusal}");
        assert!(refusal.why.contains("read-only: anna on desk-1 is master"), "{refusal}");
    }
    lab.start(1);
    lab.stop(stop_job(1, NO_GRACE)).expect("what is given outside of centers is never blocked");
    lab.wish("anna", MasterWish::Release).expect("it is hers");
    lab.given_in("bert", Input::Start(start(1))).expect("nobody is master");
}

#[test]
fn a_master_that_is_not_heard_lapses_and_one_that_is_does_not() {
    let mut lab = Lab::with(1);
    lab.wish("anna", MasterWish::Take).expect("nobody has it");
    lab.pass(60, &["anna", "bert"]);
    assert_eq!(lab.master(), Some("anna"));
    lab.pass(10, &["bert"]);
    assert_eq!(lab.master(), Some("anna"), "ten seconds are not too long");
    lab.pass(1, &["bert"]);
    assert_eq!(lab.master(), None);
    assert!(matches!(&lab.last[..], [Event::MasterChanged(changed)] if changed.reason == MasterReason::Lapsed));
}

#[test]
fn a_scheduler_that_did_not_listen_blames_nobody() {
    let mut lab = Lab::with(1);
    lab.wish("anna", MasterWish::Take).expect("nobody has it");
    lab.pass(5, &["anna"]);
    lab.wait(Duration::from_secs(60));
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.master(), Some("anna"), "it was frozen itself");
    lab.observed = Observed::default();
    lab.give(Input::Tick).expect("a tick is not refused");
    lab.pass(11, &[]);
    assert_eq!(lab.master(), Some("anna"), "a new leader waits as long as an old one, from its first look");
    lab.pass(1, &[]);
    assert_eq!(lab.master(), None);
}

#[test]
fn a_taken_over_mastership_begins_its_own_silence() {
    let mut lab = Lab::with(1);
    lab.wish("anna", MasterWish::Take).expect("nobody has it");
    lab.pass(9, &["bert"]);
    lab.wish("bert", MasterWish::TakeOver).expect("it may");
    lab.pass(5, &[]);
    assert_eq!(lab.master(), Some("bert"));
}

#[test]
fn ids_of_centers_are_short_and_plain() {
    for good in ["a", "desk-1-4711-0a1b2c3d", "x.y_z"] {
        assert!(CenterId::new(good).is_some(), "{good}");
    }
    for bad in ["", "a b", "a\n", "ü", &"x".repeat(65)] {
        assert!(CenterId::new(bad).is_none(), "{bad}");
    }
}
