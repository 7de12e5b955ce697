//! `cargo xtask lab`: the private lab of the demo and of the end-to-end tests, left running for exploring.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use muster_testkit::lab::{self, Lab, LabOptions};

use crate::build;

#[derive(Subcommand)]
pub(crate) enum LabTask {
    /// Bring a lab up and leave it running
    Up(UpArguments),
    /// End every process of the lab and delete its data
    Down,
    /// Print the environment in which `muster` finds the lab, for `eval`
    Env,
}

#[derive(Args)]
pub(crate) struct UpArguments {
    /// Machines: node agents on this host, each with its own state and disks that are directories
    #[arg(long, default_value_t = 1)]
    machines: u32,
    /// Simulated machines beside them, all in one process, with simulated processes
    #[arg(long, default_value_t = 0)]
    simulated: u32,
    /// What is to go wrong on simulated machines: a script as tests/machines/README.md describes
    #[arg(long, value_name = "FILE", requires = "simulated")]
    script: Option<PathBuf>,
    /// Block device that the first machine may format and mount, may be repeated: what is on it is lost as soon as somebody orders it
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Instances of each owning service
    #[arg(long, default_value_t = 1)]
    replicas: u32,
    /// Servers of the bus: one, or a cluster of three
    #[arg(long, default_value_t = 1, value_parser = parse_nats)]
    nats: u32,
    /// Without keys: whoever reaches the lab's server may do anything. Labs with simulated machines are always so
    #[arg(long)]
    insecure_local: bool,
}

fn parse_nats(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".into()),
    }
}

/// Where the lab that is left up lives.
fn directory() -> PathBuf {
    build::target().join("lab")
}

/// Directories that stand for disks, on each machine of a lab.
pub(crate) const DISKS: u32 = 2;

pub(crate) fn run(task: &LabTask) -> anyhow::Result<()> {
    match task {
        LabTask::Up(arguments) => up(arguments),
        LabTask::Down => down(),
        LabTask::Env => environment(),
    }
}

fn up(arguments: &UpArguments) -> anyhow::Result<()> {
    let directory = directory();
    ensure!(lab::left_up(&directory).is_none(), "a lab is up already; `cargo xtask lab down` ends it");
    let programs = build::programs()?;
    clean(&directory)?;
    let UpArguments { machines, simulated, replicas, nats, .. } = *arguments;
    let script = arguments.script.as_ref().map(std::path::absolute).transpose()?;
    let clock_spread = std::time::Duration::ZERO;
    let options = LabOptions {
        disks: DISKS,
        devices: arguments.devices.clone(),
        replicas,
        simulated,
        script,
        nats,
        clock_spread,
        secured: !arguments.insecure_local && simulated == 0,
        ..LabOptions::new(directory, programs, machines)
    };
    Lab::up(options, &|line| eprintln!("{line}"))?.release()?;
    eprintln!(
        "the lab is up; in this shell:\n  eval \"$(cargo xtask lab env)\"\n  muster machine list\nand `cargo xtask lab down` ends it"
    );
    Ok(())
}

fn down() -> anyhow::Result<()> {
    let directory = directory();
    clean(&directory)?;
    eprintln!("nothing of the lab is left");
    Ok(())
}

/// Ends what runs in a lab's folder, and deletes it.
pub(crate) fn clean(directory: &std::path::Path) -> anyhow::Result<()> {
    lab::down(directory)?;
    lab::remove(directory).context("delete the folder of the lab")
}

fn environment() -> anyhow::Result<()> {
    let Some(environment) = lab::left_up(&directory()) else {
        anyhow::bail!("no lab is up; `cargo xtask lab up` brings one up");
    };
    for (name, value) in environment {
        println!("export {name}={value}");
    }
    println!("export PATH={}:$PATH", build::target().join("debug").display());
    Ok(())
}
