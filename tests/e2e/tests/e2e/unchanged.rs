//! Whether nothing was changed: all that services say, where the logs end, and what is stored.

use std::time::{Duration, Instant};

use muster_e2e::stream;
use muster_testkit::lab::Lab;

/// Everything that can be listed. With `--all` also what has ended.
const LISTINGS: [&[&str]; 9] = [
    &["machine", "list"],
    &["resource", "list"],
    &["load-number", "list"],
    &["module", "list"],
    &["jobs", "--all"],
    &["ps", "--all"],
    &["run-id", "show"],
    &["reservation", "list", "--all"],
    &["admin", "status"],
];
/// Columns that move while nothing happens.
const VOLATILE: [&str; 1] = ["heartbeat_age_seconds"];
/// The logs are quiet when none grew for so long: a follower that reads what does not concern it notes how far it is after 5 s.
const QUIET: Duration = Duration::from_secs(8);

/// All that the services say (positions, terms and hashes of states among it), where the logs end, and what the object stores hold.
#[derive(Debug, PartialEq)]
pub(crate) struct WhatIsThere {
    listings: Vec<serde_json::Value>,
    ends: Vec<u64>,
    objects: Vec<Vec<String>>,
}

impl WhatIsThere {
    pub(crate) fn now(lab: &Lab) -> Self {
        let (ends, objects) = stream::ends_and_objects(lab).expect("the streams and stores are looked at");
        Self { listings: LISTINGS.iter().map(|arguments| listing(lab, arguments)).collect(), ends, objects }
    }

    /// As it is when everything that was said before is taken.
    pub(crate) fn quiet(lab: &Lab) -> Self {
        let mut found = Self::now(lab);
        let mut since = Instant::now();
        muster_testkit::wait_until("the logs are quiet", muster_e2e::SETTLE_LIMIT, || {
            let now = Self::now(lab);
            if now != found {
                (found, since) = (now, Instant::now());
            }
            since.elapsed() >= QUIET
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", found.ends));
        found
    }
}

fn listing(lab: &Lab, arguments: &[&str]) -> serde_json::Value {
    let mut rows = lab.muster_json(arguments).expect("it is listed");
    for row in rows.as_array_mut().expect("a listing is an array") {
        let row = row.as_object_mut().expect("of objects");
        row.retain(|name, _| !VOLATILE.contains(&name.as_str()));
    }
    rows
}
