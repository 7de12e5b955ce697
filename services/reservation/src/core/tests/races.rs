//! An extension that races the deadline: whichever comes first in the log is what happened, and nobody is told anything else.

use super::*;

/// So often they race.
const RACES: i64 = 1_000;

#[test]
fn an_extension_that_races_the_deadline_never_has_two_answers() {
    let mut pool = Pool::of(1);
    let (mut extended, mut expired) = (0, 0);
    for race in 0..RACES {
        let id = pool.reserve("", 1).expect("it is free");
        pool.move_to(0, Some(id));
        pool.wait(Duration::from_millis(1));
        let deadline = pool.state.reservation(id).and_then(|known| known.grant().cloned()).expect("granted").deadline;
        // From 5 ms before to 4 ms after, the tick first or the extension.
        pool.now.time = PoolTime(deadline.0 + (race % 10 - 5) * 1_000_000);
        let tick_first = race % 20 < 10;
        if tick_first {
            pool.wait(Duration::ZERO);
        }
        let by = Duration::from_millis(1);
        let answer = pool.command("user:anna", Command::Extend { id, to: Extension::By(by) });
        pool.wait(Duration::ZERO);
        let said =
            pool.log.iter().filter(|(event, ..)| matches!(event, Event::Extended { id: of, .. } if *of == id)).count();
        match answer {
            Ok(record) => {
                extended += 1;
                let moved = record.reservation.grant().expect("it has its machine").deadline;
                assert_eq!((moved, said), (deadline + by, 1), "race {race}");
                assert_eq!(pool.ended(id), None, "race {race}: it was told that it goes on");
                pool.now.time = moved;
                pool.wait(Duration::ZERO);
                assert_eq!(pool.ended(id), Some(End::Expired), "race {race}: at the deadline that was told");
            }
            Err(refused) => {
                expired += 1;
                assert!(pool.now.time >= deadline, "race {race}: refused before its time: {refused}");
                assert_eq!((pool.ended(id), said), (Some(End::Expired), 0), "race {race}");
            }
        }
        pool.move_to(0, None);
        pool.wait(Duration::ZERO);
    }
    assert_eq!((extended, expired), (RACES / 2, RACES / 2));
    assert_eq!(pool.state, pool.folded_again());
}
