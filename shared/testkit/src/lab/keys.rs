//! The keys of a secured lab: made by `muster admin` as those of any pool, except that nobody enrolls its machines by hand.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use muster_bus::{Credentials, Identity};
use muster_model::MachineId;

use super::{LabOptions, Say};

/// The person whose credentials a lab's own commands use.
pub(super) const ADMINISTRATOR: &str = "lab";
/// Where an agent looks for its credentials, in its state directory.
const OF_AGENT: &str = "credentials";

/// Directory with the keys of a lab.
pub(super) fn directory(options: &LabOptions) -> PathBuf {
    options.directory.join("keys")
}

/// Credentials of a service.
pub(super) fn of_service(options: &LabOptions, service: &str) -> PathBuf {
    directory(options).join(format!("service-{service}.key"))
}

/// The key with which a service signs what it tells agents; none for who tells them nothing.
pub(super) fn signing_key(options: &LabOptions, service: &str) -> Option<PathBuf> {
    Some(directory(options).join(format!("service-{service}.sign"))).filter(|file| file.exists())
}

/// By which keys the machines of a lab know their services; none where they believe everybody.
pub(super) fn signers(options: &LabOptions) -> Option<PathBuf> {
    Some(directory(options).join("signers")).filter(|file| file.exists())
}

/// Credentials of the administrator.
pub(super) fn of_administrator(options: &LabOptions) -> PathBuf {
    directory(options).join(format!("user-{ADMINISTRATOR}.key"))
}

/// Makes the keys that a lab is to have, and gives the file that lets their owners in; none where everybody is let in.
pub(super) fn make(options: &LabOptions, say: Say<'_>) -> anyhow::Result<Option<PathBuf>> {
    if !options.secured && !options.signed {
        return Ok(None);
    }
    ensure!(
        options.simulated == 0 || !options.secured,
        "simulated machines share a connection: bring a lab with them up without keys"
    );
    say("making the keys of every service, machine and person");
    let keys = directory(options).to_string_lossy().into_owned();
    muster(options, &["admin", "init", "--keys", &keys, "--administrator", ADMINISTRATOR])?;
    if !options.secured {
        return Ok(None);
    }
    for number in 1..=options.machines {
        let machine = format!("node-{number}");
        let state = options.directory.join(&machine).join("state");
        std::fs::create_dir_all(&state).context("make the folder of an agent")?;
        let identity = Identity::Agent(MachineId::new(&machine)?);
        let key = Credentials::make(&state.join(OF_AGENT), identity)?.public_key()?;
        muster(options, &["admin", "enroll", &machine, "--public-key", &key, "--offline", "--keys", &keys])?;
    }
    Ok(Some(directory(options).join("authorization.conf")))
}

fn muster(options: &LabOptions, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(options.programs.join("muster")).args(arguments).stdin(Stdio::null()).output();
    let output = output.context("run muster")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`muster {}` ended with {}: {error}", arguments.join(" "), output.status);
    Ok(())
}
