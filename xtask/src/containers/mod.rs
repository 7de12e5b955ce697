//! `cargo xtask test --containers`: compose.yaml as it is, on a Docker engine of its own, with a job, deaths and a cut; and the packages.
//!
//! Responsible for what is tried, in which order. Not for the engine (`engine`), nor for what containers are made of (`images`).

mod cluster;
mod engine;
mod images;
mod inspect;
mod lab;
mod packages;
mod pool;

use std::time::Instant;

use anyhow::Context;

use crate::build;

/// Brings everything up, tries it, and leaves nothing behind.
///
/// # Errors
/// Says what went wrong. An engine that does not run here is a failure, too.
pub(crate) fn run() -> anyhow::Result<()> {
    let start = Instant::now();
    let step = |name: &str| eprintln!("  [{:>3} s] containers: {name}", start.elapsed().as_secs());
    let programs = build::programs()?;
    let directory = build::target().join("containers");
    step("a Docker engine in namespaces of its own");
    let engine = engine::Engine::start(&directory)?;
    step("images");
    let staged = images::make(&engine, &programs).context("make the images")?;
    step("packages");
    packages::try_them(&engine, &staged)?;
    step("compose.yaml, profile demo");
    lab::try_it(&engine, &programs, &step)?;
    step("compose.yaml, profiles demo and ha");
    cluster::try_it(&engine, &programs, &step)?;
    engine.stop()?;
    step("nothing is left");
    Ok(())
}
