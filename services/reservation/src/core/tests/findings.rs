use super::*;

fn found(pool: &Pool) -> Vec<String> {
    let findings = ReservationCore::findings(&pool.state, &(), pool.now.time);
    assert_eq!(findings.broken, None);
    findings.differences.into_iter().map(|one| format!("{}: {}", one.subject, one.what)).collect()
}

#[test]
fn a_machine_that_is_ready_for_one_and_goes_to_nobody_is_named() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("m0", 1).expect("it is free");
    pool.move_to(0, Some(id));
    pool.wait(Duration::from_secs(1));
    assert!(matches!(pool.stage(id), Stage::Ready(_)));
    assert!(found(&pool).is_empty(), "{:?}", found(&pool));
    pool.hear(0, News::Draining(None));
    let differences = found(&pool);
    assert!(
        matches!(&differences[..], [one] if one.contains("reservation 1") && one.contains("m0")),
        "{differences:?}"
    );
}

#[test]
fn a_reservation_that_outlives_its_deadline_is_named_until_the_pass_ends_it() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("m0", 1).expect("it is free");
    pool.move_to(0, Some(id));
    pool.wait(Duration::from_secs(1));
    pool.now.time = pool.now.time + 2 * HOUR;
    assert!(found(&pool)[0].contains("its deadline has passed"));
    pool.wait(Duration::ZERO);
    assert!(found(&pool).is_empty());
}
