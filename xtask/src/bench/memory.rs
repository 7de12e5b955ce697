//! The benchmark `memory`: the module `memory` on one core, beside what the C library does with as much memory in the same run;
//! once within the caches, once far beyond them.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Row, Target, both};
use crate::build;

/// How long each work is repeated.
const WORK_TIME: Duration = Duration::from_millis(500);
/// Sizes of the areas, of which there are two.
const SIZES: [(usize, &str); 2] = [(1 << 20, "1MiB"), (128 << 20, "128MiB")];
/// Ways that are measured by themselves.
const WAYS: [&str; 4] = ["copy", "stream", "odd", "bytes"];

/// What the module said, bytes a second.
#[derive(Debug, Clone, Copy)]
struct Done {
    moved: f64,
    verified: f64,
}

pub(crate) fn run() -> anyhow::Result<Vec<Row>> {
    let program = build::shipped_module("muster-memory")?;
    let mut rows = Vec::new();
    for (bytes, size) in SIZES {
        rows.extend(of_size(&program, bytes, size)?);
    }
    Ok(rows)
}

fn of_size(program: &Path, bytes: usize, size: &str) -> anyhow::Result<Vec<Row>> {
    let (mut memory, copy) = (vec![1_u8; bytes], vec![1_u8; bytes]);
    let copied = rate(bytes, || black_box(&mut *memory).copy_from_slice(black_box(&copy)));
    let mut equal = true;
    let compared = rate(bytes, || equal &= black_box(&*memory) == black_box(&*copy));
    ensure!(equal, "what was copied is not what was there");
    drop((memory, copy));
    let row = |what: String, value: f64, (reference_name, reference): (&'static str, f64), target| Row {
        name: format!("{what}, {size}"),
        value: value / 1e9,
        unit: "GB/s",
        reference: Some(reference / 1e9),
        reference_name,
        target,
    };
    let mut rows = Vec::new();
    for way in WAYS {
        let done = module(program, size, way)?;
        let at_least = (way == "copy").then_some(Target::RatioAtLeast(0.9));
        rows.push(row(format!("moved by {way}"), done.moved, ("memcpy", copied), at_least));
        if way == "copy" {
            let at_least = Target::RatioAtLeast(if bytes > SIZES[0].0 { 1.5 } else { 1.8 });
            rows.push(row("verified".into(), done.verified, ("memcmp of a copy", compared), Some(at_least)));
            let whole = ("memcpy and memcmp", both(copied, compared));
            rows.push(row(
                "moved and verified".into(),
                both(done.moved, done.verified),
                whole,
                Some(Target::RatioAtLeast(1.0)),
            ));
        }
    }
    Ok(rows)
}

fn module(program: &Path, size: &str, way: &str) -> anyhow::Result<Done> {
    let directory = tempfile::tempdir().context("make a folder for results")?;
    let mut command = Command::new(program);
    command.env_remove("MUSTER_SOCKET").current_dir(directory.path());
    let duration = format!("duration={}ms", 2 * WORK_TIME.as_millis());
    for parameter in ["areas=2", &duration, &format!("size={size}"), &format!("way={way}")] {
        command.args(["--param", parameter]);
    }
    let output = command.output().context("run muster-memory")?;
    let text = String::from_utf8(output.stdout).context("read its output")?;
    let last: Value =
        serde_json::from_str(text.lines().last().context("it prints something")?).context("read its last line")?;
    ensure!(last["result"] == "pass", "muster-memory failed: {last}");
    let total = |name: &str| last["final"][name].as_f64().with_context(|| format!("muster-memory says no {name}"));
    let bytes = total("verified_bytes")?;
    Ok(Done { moved: bytes / total("move_seconds")?, verified: bytes / total("verify_seconds")? })
}

/// Bytes a second of a work that is repeated.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < WORK_TIME {
        work();
        count += 1;
    }
    let bytes = u32::try_from(bytes).map_or(f64::NAN, f64::from);
    f64::from(count) * bytes / begin.elapsed().as_secs_f64()
}
