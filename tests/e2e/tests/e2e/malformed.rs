//! Messages as nobody should say them, to everybody who listens: everybody goes on, nothing is changed, and nobody grows.

use muster_bus::subjects;
use muster_e2e::{lab, stream};
use muster_simulation::Random;
use muster_simulation::malformed::Wild;
use muster_testkit::lab::Lab;
use muster_testkit::resident_bytes;

use crate::unchanged::WhatIsThere;

/// To each subject; `MUSTER_SOAK_ROUNDS` says more, or fewer.
const MESSAGES: usize = 200;
/// What all parts together may grow by while the second half of the messages is said, bytes.
const GROWTH_MAX: u64 = 64 << 20;
/// Not said here: only leaders write logs, and a machine that joins is heard by a command that waits for it.
const UNHEARD: [&str; 2] = ["muster.v1.log.", "muster.v1.enroll."];
/// The words that `<verb>` and `<n>` stand for.
const VERBS: [&str; 9] = ["jobs", "machine", "inventory", "logs", "peer", "clock", "install", "reboot", "storage"];
const TRIGGERS: [&str; 2] = ["0", "255"];

/// Subjects that somebody listens on, with the bodies that are understood there; those whose messages are stored, or the others.
fn subjects(stored: bool) -> Vec<(String, &'static str)> {
    let heard = subjects::TABLE.iter().filter(|row| !UNHEARD.iter().any(|unheard| row.subject.starts_with(unheard)));
    let heard = heard.filter(|row| row.transport.starts_with("JetStream") == stored);
    let mut all: Vec<_> = heard.map(|row| (row.subject.to_owned(), row.body)).collect();
    let services: Vec<_> = subjects::Service::ALL.iter().map(|service| service.as_str()).collect();
    for (placeholder, words) in
        [("<service>", &services[..]), ("<m>", &["node-1"]), ("<verb>", &VERBS), ("<n>", &TRIGGERS)]
    {
        let each = |(subject, body): (String, &'static str)| {
            let count = if subject.contains(placeholder) { words.len() } else { 1 };
            (0..count).map(|word| (subject.replace(placeholder, words[word]), body)).collect::<Vec<_>>()
        };
        all = all.into_iter().flat_map(each).collect();
    }
    all
}

/// Says so many messages to each subject: every other one is none, the others have a body that is not understood there.
fn say(lab: &Lab, wild: &mut Wild, stored: bool, messages: usize) {
    let bodies = Wild::bodies();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let bus = stream::connect(lab).await.expect("the bus answers");
        for (subject, understood) in subjects(stored) {
            let is_understood = |body: &&String| understood.split(", ").any(|known| known == *body);
            let elsewhere: Vec<_> = bodies.iter().filter(|body| !is_understood(body)).collect();
            for number in 0..messages {
                let body = elsewhere[number % elsewhere.len()];
                let payload =
                    if number % 2 == 0 { wild.no_message(body) } else { wild.message("Envelope", Some(body)) };
                let payload = if number == 0 { vec![0; 900_000] } else { payload };
                bus.client().publish(subject.clone(), payload.into()).await.expect("the server takes it");
            }
            bus.settled().await.expect("the messages are sent");
        }
    });
}

/// Memory of all parts, bytes.
fn resident(lab: &Lab) -> u64 {
    lab.members().iter().map(|pid| resident_bytes(*pid).expect("every part lives")).sum()
}

#[test]
fn malformed_messages_to_everybody_change_nothing() {
    let soak = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok());
    let messages: usize = soak.unwrap_or(MESSAGES);
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let before = WhatIsThere::quiet(&lab);
    let mut wild = Wild::new(Random::new(1));
    say(&lab, &mut wild, false, messages / 2);
    assert_eq!(WhatIsThere::quiet(&lab), before, "nothing was changed");
    // Who follows a stream notes in its log what it could not understand there.
    say(&lab, &mut wild, true, messages);
    let before = WhatIsThere::quiet(&lab);
    let size = resident(&lab);
    say(&lab, &mut wild, false, messages / 2);
    assert_eq!(WhatIsThere::quiet(&lab), before, "nothing was changed");
    let grown = resident(&lab).saturating_sub(size);
    assert!(grown < GROWTH_MAX, "the parts grew by {grown} bytes");
    for service in muster_testkit::lab::SERVICES {
        let process = lab.service(&format!("{service}-a")).expect("it is a service");
        assert!(process.is_running(), "{service} is still there");
    }
    let job = muster_e2e::start(&lab, "idle", 2, &[]).expect("a job still starts");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("and stops");
    let all = subjects(false).len() + subjects(true).len();
    println!(
        "{messages} messages to each of {all} subjects; all parts grew by {grown} bytes over the last half of them"
    );
    lab.down().expect("nothing is left running");
}
