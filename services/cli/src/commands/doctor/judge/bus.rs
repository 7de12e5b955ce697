//! The bus: its server, the room in JetStream, the streams, and the versions of what answers over it.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_bus::{ServerHealth, StreamHealth};

use super::super::found::Found;
use super::{Check, Reason, named};
use crate::times;

/// A server whose answers take longer makes every command slow.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(50);
/// From this fill on somebody should look; from the second on, a decision log takes stops and releases alone.
const FILL_WARN_PERCENT: u64 = 75;
const FILL_FAIL_PERCENT: u64 = 90;

pub(super) fn judge(found: &Found) -> Vec<Check> {
    let mut checks = Vec::new();
    match &found.server {
        Ok(server) => checks.extend([server_check(server), room_check(server)]),
        Err(error) => checks.push(Check::fail(
            "nats-server",
            error,
            Reason { why: "JetStream does not answer: nothing can be decided", next: "look at the log of nats-server" },
        )),
    }
    match &found.streams {
        Ok(streams) => checks.extend([existing(streams), fill(streams), copies(streams)]),
        Err(error) => checks.push(Check::fail(
            "streams",
            error,
            Reason { why: "the streams could not be looked at", next: "look at the log of nats-server" },
        )),
    }
    checks.push(versions(found));
    checks
}

fn server_check(server: &ServerHealth) -> Check {
    let cluster = server.cluster.as_ref().map(|name| format!(", cluster {name}")).unwrap_or_default();
    let round_trip = server.round_trip.as_secs_f64() * 1e3;
    let text = format!("{} {}{cluster}, round trip {round_trip:.2} ms", server.name, server.version);
    if server.round_trip <= ROUND_TRIP_MAX {
        return Check::ok("nats-server", text);
    }
    let why = format!("a message to ourselves takes longer than {} ms", ROUND_TRIP_MAX.as_millis());
    let next = "look at the load of the server's machine, and at the network between it and here";
    Check::warn("nats-server", text, Reason { why: &why, next })
}

fn room_check(server: &ServerHealth) -> Check {
    let stored = times::size(server.stored_bytes);
    let Some(most) = server.stored_max_bytes.filter(|most| *most > 0) else {
        return Check::ok("jetstream", format!("{stored} stored, without a limit of its own"));
    };
    let percent = server.stored_bytes.saturating_mul(100) / most;
    let text = format!("{stored} of {} stored ({percent} %)", times::size(most));
    let reason = Reason {
        why: "a full store refuses every decision, report and sample",
        next: "give JetStream more room (max_file_store), or remove kernels, modules and artifacts that nobody needs",
    };
    match percent {
        0..FILL_WARN_PERCENT => Check::ok("jetstream", text),
        FILL_WARN_PERCENT..FILL_FAIL_PERCENT => Check::warn("jetstream", text, reason),
        _ => Check::fail("jetstream", text, reason),
    }
}

/// Every stream is there, and is what the table says.
fn existing(streams: &[StreamHealth]) -> Check {
    let missing: Vec<&str> =
        streams.iter().filter(|stream| !stream.exists).map(|stream| stream.name.as_str()).collect();
    if !missing.is_empty() {
        let text = format!("{} missing", named(&missing));
        let next =
            "`muster admin init` makes what is missing; a decision log that was lost: `muster admin recover LOG`";
        return Check::fail("streams", text, Reason { why: "what is to be kept there is refused", next });
    }
    let differing: Vec<String> = streams
        .iter()
        .filter(|stream| !stream.differences.is_empty())
        .map(|stream| format!("{}: {}", stream.name, stream.differences.join(", ")))
        .collect();
    if differing.is_empty() {
        return Check::ok("streams", format!("{} streams and stores, configured as wanted", streams.len()));
    }
    let reason = Reason {
        why: "somebody changed them: what Muster promises rests on how they are configured",
        next: "set them back with `nats stream edit NAME`; never delete one",
    };
    Check::fail("streams", differing.join("; "), reason)
}

fn fill(streams: &[StreamHealth]) -> Check {
    let percent = |stream: &StreamHealth| match stream.size_max_bytes {
        0 => 0,
        most => stream.size_bytes.saturating_mul(100) / most,
    };
    let fullest = streams.iter().max_by_key(|stream| percent(stream));
    let Some(fullest) = fullest else { return Check::ok("stream fill", "there are none") };
    let full: Vec<String> = streams
        .iter()
        .filter(|stream| percent(stream) >= FILL_WARN_PERCENT)
        .map(|stream| format!("{} is {} % full", stream.name, percent(stream)))
        .collect();
    if full.is_empty() {
        return Check::ok("stream fill", format!("the fullest is {} with {} %", fullest.name, percent(fullest)));
    }
    let reason = Reason {
        why: "at 90 % a decision log takes stops and releases alone; a full stream refuses what comes",
        next: "logs are shortened once they are archived: see that telemetry-logger and PostgreSQL run; stores: remove what nobody needs",
    };
    if percent(fullest) >= FILL_FAIL_PERCENT {
        Check::fail("stream fill", full.join(", "), reason)
    } else {
        Check::warn("stream fill", full.join(", "), reason)
    }
}

/// Copies of the streams on the servers of a cluster.
fn copies(streams: &[StreamHealth]) -> Check {
    let wanted: BTreeSet<usize> =
        streams.iter().filter(|stream| stream.exists).map(|stream| stream.replicas.max(1)).collect();
    let troubled: Vec<String> = streams
        .iter()
        .filter(|stream| !stream.troubled_replicas.is_empty())
        .map(|stream| format!("{}: {}", stream.name, stream.troubled_replicas.join(", ")))
        .collect();
    if !troubled.is_empty() {
        let next = "start the server that is away; `nats stream report` shows when its copies have caught up";
        return Check::warn(
            "copies",
            troubled.join("; "),
            Reason { why: "one more server lost may stop the streams", next },
        );
    }
    let numbers: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    if wanted.len() > 1 {
        let text = format!("streams have {} copies", numbers.join(" or "));
        let next = "`nats stream edit NAME --replicas N` until all have the same";
        return Check::warn(
            "copies",
            text,
            Reason { why: "some streams outlive the loss of a server, and some do not", next },
        );
    }
    Check::ok("copies", format!("{} of each stream", numbers.join("")))
}

/// Everything that answers is of our own version.
fn versions(found: &Found) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let programs = found.programs.iter().map(|program| (program.name.clone(), program.version.clone()));
    let replicas = found.services.iter().flat_map(|service| {
        let last = service.replicas.last().into_iter().flatten();
        last.map(|status| (format!("{}-{}", service.service.as_str(), status.instance), status.version.clone()))
    });
    let all: BTreeSet<(String, String)> = programs.chain(replicas).collect();
    let other: Vec<String> = all
        .iter()
        .filter(|(_, version)| version != own)
        .map(|(name, version)| format!("{name} is {version}"))
        .collect();
    if other.is_empty() {
        return Check::ok("versions", format!("{} programs answer, all of {own}", all.len()));
    }
    let text = format!("{}; this `muster` is {own}", other.join(", "));
    let next = "finish the rolling restart (docs/operations.md), or use a `muster` of the services' version";
    Check::warn(
        "versions",
        text,
        Reason { why: "programs of different versions are for the time of an upgrade alone", next },
    )
}
