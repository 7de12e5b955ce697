//! Rules of the memory of commands.

use proptest::prelude::*;

use super::*;

fn id(made_ms: u64, number: u64) -> CommandId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&made_ms.to_be_bytes()[2..]);
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    CommandId(bytes)
}

fn remembered(ms: u64) -> Remembered {
    let time = PoolTime(i64::try_from(ms).expect("small") * 1_000_000);
    Remembered { reply: Bytes::from(ms.to_string()), time, position: Position::new(1, ms) }
}

#[test]
fn a_retry_within_reach_gets_the_same_reply_and_an_older_id_is_refused() {
    let mut memory = Memory::default();
    for ms in 0..COUNT_MAX as u64 + 10 {
        memory.remember(id(ms, 0), remembered(ms));
    }
    assert_eq!(memory.recall(&id(9, 0)), Recalled::TooOld);
    assert_eq!(memory.recall(&id(10, 0)), Recalled::Known(&remembered(10)));
    assert_eq!(memory.recall(&id(10, 1)), Recalled::New, "another command of a time within reach is new");
}

#[test]
fn replies_are_bounded_by_their_bytes_and_what_is_forgotten_is_refused() {
    const REPLY: usize = 1 << 20;
    let mut memory = Memory::default();
    let kept = (BYTES_MAX / REPLY) as u64;
    for ms in 0..kept + 2 {
        let large = Remembered { reply: vec![0; REPLY].into(), ..remembered(ms) };
        memory.remember(id(ms, 0), large);
    }
    assert_eq!(memory.iter().count() as u64, kept);
    assert_eq!(memory.recall(&id(1, 0)), Recalled::TooOld);
    assert!(matches!(memory.recall(&id(2, 0)), Recalled::Known(_)));
    let huge = Remembered { reply: vec![0; BYTES_MAX + 1].into(), ..remembered(500) };
    memory.remember(id(500, 0), huge);
    assert_eq!(memory.iter().count(), 1, "the newest is always kept");
}

#[test]
fn replies_are_forgotten_after_24_hours_of_event_time() {
    let mut memory = Memory::default();
    memory.remember(id(1, 0), remembered(1));
    let day_later = 1 + 24 * 3_600_000;
    memory.remember(id(day_later, 0), remembered(day_later));
    assert_eq!(memory.iter().count(), 2);
    memory.remember(id(day_later + 1, 0), remembered(day_later + 1));
    assert_eq!(memory.recall(&id(1, 0)), Recalled::TooOld);
}

proptest! {
    /// Whatever the order of ids and times, a command that was decided is never taken for a new one while its id is not from the
    /// future.
    #[test]
    fn a_decided_command_is_never_new(steps in prop::collection::vec((0_u64..200_000_000, 0_u64..50_000_000), 1..200), asked_at in 0_usize..200) {
        let mut memory = Memory::default();
        let mut time = 200_000_000;
        let mut given = Vec::new();
        for (number, (back, step)) in steps.into_iter().enumerate() {
            time += step;
            let id = id(time - back, number as u64);
            memory.remember(id, remembered(time));
            given.push(id);
            if number == asked_at {
                prop_assert_ne!(memory.recall(&id), Recalled::New);
            }
        }
        for id in given {
            prop_assert_ne!(memory.recall(&id), Recalled::New);
        }
    }
}
