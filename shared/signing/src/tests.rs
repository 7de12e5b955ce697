//! Whatever is changed of a signed message, it counts for nothing.

use muster_proto::v1::{AgentCommand, Envelope, KeyChange, UpdateJobs, agent_command, envelope::Body};
use proptest::prelude::*;
use prost::Message;

use super::*;

const MACHINE: &str = "node-1";

fn envelope(term: u64, incarnation: u64) -> Envelope {
    let kind = Some(agent_command::Kind::UpdateJobs(UpdateJobs::default()));
    Envelope {
        source: "scheduler/a".into(),
        term,
        incarnation,
        epoch: 3,
        cmd_id: vec![7; 16].into(),
        body: Some(Body::AgentCommand(AgentCommand { kind })),
        ..Envelope::default()
    }
}

fn sealed(key: &SigningKey, signer: Signer, machine: &str, number: u64, changes: &[KeyChange]) -> Vec<u8> {
    seal(envelope(5, 9).encode_to_vec(), Seal { key, signer, changes, machine, number }).to_vec()
}

fn pins(scheduler: &SigningKey, machine_lifecycle: &SigningKey) -> Pins {
    let mut pins = Pins::default();
    for (signer, key) in [(Signer::Scheduler, scheduler), (Signer::MachineLifecycle, machine_lifecycle)] {
        pins.add(signer, PublicKey::parse(key.public()).unwrap());
    }
    pins
}

fn judged(guard: &mut Guard, signer: Signer, occasion: Occasion<'_>, payload: &[u8]) -> Result<(), Refused> {
    let envelope = Envelope::decode(payload).map_err(|_| Refused::Malformed)?;
    guard.admit(signer, occasion, &envelope, payload).map(drop)
}

struct World {
    scheduler: SigningKey,
    machine_lifecycle: SigningKey,
    guard: Guard,
}

fn world() -> World {
    let (scheduler, machine_lifecycle) = (SigningKey::make(), SigningKey::make());
    let guard = Guard::new(MACHINE, Some(pins(&scheduler, &machine_lifecycle)));
    World { scheduler, machine_lifecycle, guard }
}

#[test]
fn what_a_service_signed_for_this_machine_counts_once() {
    let World { scheduler, mut guard, .. } = world();
    let payload = sealed(&scheduler, Signer::Scheduler, MACHINE, 1, &[]);
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &payload), Ok(()));
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &payload), Err(Refused::Replayed));
    assert_eq!(guard.refused().get(&Refused::Replayed), Some(&1));
}

#[test]
fn an_answer_counts_for_its_question_alone() {
    let World { scheduler, mut guard, .. } = world();
    let payload = sealed(&scheduler, Signer::Scheduler, MACHINE, 1, &[]);
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Answer(&[7; 16]), &payload), Ok(()));
    let other = judged(&mut guard, Signer::Scheduler, Occasion::Answer(&[8; 16]), &payload);
    assert_eq!(other, Err(Refused::OtherQuestion));
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Answer(&[]), &payload), Err(Refused::OtherQuestion));
}

#[test]
fn nobody_speaks_for_another_service_or_to_another_machine() {
    let World { scheduler, machine_lifecycle, mut guard } = world();
    let mut check = |payload: &[u8]| judged(&mut guard, Signer::Scheduler, Occasion::Command, payload);
    assert_eq!(check(&envelope(5, 9).encode_to_vec()), Err(Refused::Unsigned));
    let other = sealed(&machine_lifecycle, Signer::Scheduler, MACHINE, 1, &[]);
    assert_eq!(check(&other), Err(Refused::UnknownKey));
    let as_other = sealed(&scheduler, Signer::MachineLifecycle, MACHINE, 1, &[]);
    assert_eq!(check(&as_other), Err(Refused::WrongSignature));
    let elsewhere = sealed(&scheduler, Signer::Scheduler, "node-2", 1, &[]);
    assert_eq!(check(&elsewhere), Err(Refused::WrongSignature));
    let mut behind = sealed(&scheduler, Signer::Scheduler, MACHINE, 1, &[]);
    behind.extend(envelope(6, 9).encode_to_vec());
    assert_eq!(check(&behind), Err(Refused::Malformed), "a signature is the end of what it is under");
}

#[test]
fn without_pins_everything_counts() {
    let mut guard = Guard::new(MACHINE, None);
    assert!(!guard.is_on());
    let payload = envelope(5, 9).encode_to_vec();
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &payload), Ok(()));
}

#[test]
fn keys_are_followed_from_one_to_the_next_and_what_was_taken_out_stays_out() {
    let World { scheduler: first, machine_lifecycle, mut guard } = world();
    let (second, third) = (SigningKey::make(), SigningKey::make());
    let signer = Signer::Scheduler;
    let changes = [
        change(signer, &first, second.public(), false),
        change(signer, &second, third.public(), false),
        change(signer, &third, first.public(), true),
    ];
    let early = judged(&mut guard, signer, Occasion::Command, &sealed(&third, signer, MACHINE, 1, &[]));
    assert_eq!(early, Err(Refused::UnknownKey));
    let payload = sealed(&third, signer, MACHINE, 1, &changes);
    let decoded = Envelope::decode(payload.as_slice()).unwrap();
    let kept = guard.admit(signer, Occasion::Command, &decoded, &payload).unwrap().cloned().unwrap();
    let names: Vec<&str> = kept.of(signer).iter().map(PublicKey::as_str).collect();
    assert_eq!(names, [second.public(), third.public()]);
    assert_eq!(Pins::parse(&kept.print()), Ok(kept.clone()), "what is kept is read again");
    let again = sealed(&third, signer, MACHINE, 2, &changes);
    let decoded = Envelope::decode(again.as_slice()).unwrap();
    assert_eq!(guard.admit(signer, Occasion::Command, &decoded, &again), Ok(None), "nothing changes twice");
    let retired = sealed(&first, signer, MACHINE, 3, &changes);
    assert_eq!(judged(&mut guard, signer, Occasion::Command, &retired), Err(Refused::UnknownKey));
    let of_other = [change(signer, &machine_lifecycle, first.public(), false)];
    let stranger = sealed(&first, signer, MACHINE, 4, &of_other);
    assert_eq!(judged(&mut guard, signer, Occasion::Command, &stranger), Err(Refused::UnknownKey));
}

#[test]
fn a_change_that_nobody_pinned_has_signed_changes_nothing() {
    let World { scheduler, mut guard, .. } = world();
    let evil = SigningKey::make();
    let mut forged = change(Signer::Scheduler, &evil, evil.public(), false);
    forged.by = scheduler.public().to_owned();
    let for_other = change(Signer::MachineLifecycle, &scheduler, evil.public(), false);
    for changes in [[forged], [for_other], [change(Signer::Scheduler, &evil, evil.public(), false)]] {
        let payload = sealed(&evil, Signer::Scheduler, MACHINE, 1, &changes);
        assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &payload), Err(Refused::UnknownKey));
    }
    let last = change(Signer::Scheduler, &scheduler, scheduler.public(), true);
    let payload = sealed(&scheduler, Signer::Scheduler, MACHINE, 1, &[last]);
    assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &payload), Ok(()), "one key stays");
}

#[test]
fn pins_are_one_line_for_each_key_and_nothing_else() {
    let World { scheduler, machine_lifecycle, .. } = world();
    let both = pins(&scheduler, &machine_lifecycle);
    let text = both.print();
    assert_eq!(Pins::parse(&format!("# a comment\n\n{text}")), Ok(both.clone()));
    assert_eq!(Pins::within(&format!("identity enrollment/node-1\nSUABC\n{text}")), Ok(both));
    assert!(matches!(Pins::parse(&format!("{text}pin x\n")), Err(PinsError::Line(_))));
    assert!(matches!(Pins::parse(&text.replace("scheduler", "report")), Err(PinsError::Line(_))));
    assert!(matches!(Pins::parse(""), Err(PinsError::Missing(_))));
    let identity = text.replacen(&format!(" {}", scheduler.public()), " UABC", 1);
    assert!(matches!(Pins::parse(&identity), Err(PinsError::Key(_))));
}

#[test]
fn a_key_of_an_identity_is_no_signing_key_and_a_seed_is_not_shown() {
    let identity = nkeys::KeyPair::new_user();
    assert_eq!(SigningKey::from_seed(&identity.seed().unwrap()).err(), Some(KeyError::Seed));
    assert!(PublicKey::parse(&identity.public_key()).is_err());
    let key = SigningKey::make();
    let again = SigningKey::from_seed(&key.seed()).unwrap();
    assert_eq!(again.public(), key.public());
    assert!(!format!("{key:?}").contains(&key.seed()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_is_noticed(term in 1..u64::MAX, number: u64, bit: prop::sample::Index) {
        let World { scheduler, mut guard, .. } = world();
        let content = Envelope { term, ..envelope(term, 9) }.encode_to_vec();
        let seal_of = Seal { key: &scheduler, signer: Signer::Scheduler, changes: &[], machine: MACHINE, number: number.max(1) };
        let genuine = seal(content, seal_of).to_vec();
        let bit = bit.index(genuine.len() * 8);
        let mut flipped = genuine.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let judgement = judged(&mut guard, Signer::Scheduler, Occasion::Command, &flipped);
        prop_assert!(judgement.is_err(), "bit {bit}");
        prop_assert_eq!(judged(&mut guard, Signer::Scheduler, Occasion::Command, &genuine), Ok(()));
    }

    #[test]
    fn what_was_signed_comes_out_as_it_was_put_in(content: Vec<u8>, number: u64) {
        let key = SigningKey::make();
        let seal_of = Seal { key: &key, signer: Signer::Scheduler, changes: &[], machine: MACHINE, number };
        let sealed = seal(content.clone(), seal_of);
        let closing = &sealed[content.len()..];
        let signature = Envelope::decode(closing).unwrap().signature.unwrap();
        prop_assert_eq!(crate::content(&sealed, &signature), Some(content.as_slice()));
    }
}
