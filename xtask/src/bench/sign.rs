//! The benchmark `sign`: what it costs that services sign what they tell agents, beside the bare Ed25519 of the same key. One thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use muster_proto::v1::{
    AgentCommand, Envelope, JobOrders, ProcessOrder, StartSpec, UpdateJobs, agent_command, envelope::Body,
};
use muster_signing::{Guard, Occasion, Pins, PublicKey, Seal, Signer, SigningKey, seal};
use prost::Message;

use super::{Row, Target};

/// How long each work is repeated.
const WORK_TIME: Duration = Duration::from_secs(1);
const MACHINE: &str = "node-1";
/// Processes of a start on one machine: a small order, and a large one.
const SIZES: [u32; 2] = [1, 1_000];

pub(super) fn run() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for processes in SIZES {
        rows.extend(of_order(processes)?);
    }
    Ok(rows)
}

fn of_order(processes: u32) -> anyhow::Result<Vec<Row>> {
    let (key, content) = (SigningKey::make(), order(processes).encode_to_vec());
    let mut pins = Pins::default();
    for signer in Signer::ALL {
        pins.add(signer, PublicKey::parse(key.public())?);
    }
    let pair = nkeys::KeyPair::from_seed(&key.seed()).context("use the key")?;
    let bare_signature = pair.sign(&content).context("sign")?;
    let mut number = 0;
    let mut next = || {
        number += 1;
        let of = Seal { key: &key, signer: Signer::Scheduler, changes: &[], machine: MACHINE, number };
        seal(black_box(&content).clone(), of)
    };
    let signing = each(|| drop(black_box(next())));
    let bare_signing = each(|| drop(black_box(pair.sign(black_box(&content)))));
    let bare_verifying = each(|| drop(black_box(pair.verify(black_box(&content), &bare_signature))));
    let verifying = verified(&mut Guard::new(MACHINE, Some(pins)), &mut next)?;
    let extra = next().len() - content.len();
    let name = |what: &str| format!("{what}, {processes} processes, {} B", content.len());
    let row = |what: &str, value: f64, reference: f64| Row {
        name: name(what),
        value,
        unit: "us",
        reference: Some(reference),
        reference_name: "bare Ed25519",
        target: Some(Target::RatioAtMost(1.5)),
    };
    Ok(vec![
        row("sign", signing, bare_signing),
        row("verify", verifying, bare_verifying),
        Row::bare(&name("larger by"), f64::from(u32::try_from(extra)?), "B"),
    ])
}

/// How long an agent takes to judge a command, decoded as it is anyway.
fn verified(guard: &mut Guard, next: &mut impl FnMut() -> Bytes) -> anyhow::Result<f64> {
    let (mut spent, mut count) = (Duration::ZERO, 0);
    while spent < WORK_TIME {
        let payload = next();
        let envelope = Envelope::decode(payload.clone()).context("decode a command")?;
        let begun = Instant::now();
        let judged = guard.admit(Signer::Scheduler, Occasion::Command, &envelope, &payload).map(drop);
        spent += begun.elapsed();
        count += 1;
        judged.map_err(|refused| anyhow::anyhow!("a genuine command was refused: {}", refused.why()))?;
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(count))
}

/// Microseconds of one.
fn each(mut work: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < WORK_TIME {
        work();
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn order(processes: u32) -> Envelope {
    let process =
        |process| ProcessOrder { process, attempt: 1, resources: vec!["disk-sda".into()], ..Default::default() };
    let spec = StartSpec { run: 1, job: 7, seed: 42, actor: "user:bench".into(), ..Default::default() };
    let jobs = vec![JobOrders {
        spec: Some(spec),
        epoch: 3,
        processes: (1..=processes).map(process).collect(),
        ..Default::default()
    }];
    let kind = Some(agent_command::Kind::UpdateJobs(UpdateJobs { jobs, ..Default::default() }));
    Envelope {
        source: "scheduler/a".into(),
        id: vec![1; 16].into(),
        term: 5,
        epoch: 3,
        incarnation: 9,
        body: Some(Body::AgentCommand(AgentCommand { kind })),
        ..Envelope::default()
    }
}
