//! What a tested module is told: the context of a process of its own run.

use std::path::Path;

use muster_module_protocol::{Context, ContextGang, ContextMember, ContextResource, Manifest};

use super::Tested;

/// RunId, job and process of every trial.
pub(super) const RUN: u32 = 1;
const JOB: u32 = 1;
const PROCESS: u32 = 2;
pub(super) const DPID: &str = "00010002";

/// The context of a trial.
pub(super) fn context(tested: &Tested, attempt: u32, changed: &[(&str, &str)], directory: &Path) -> Context {
    let manifest = &tested.manifest;
    let mut parameters = tested.parameters.clone();
    for (name, value) in changed {
        parameters.insert((*name).to_owned(), (*value).to_owned());
    }
    Context {
        run: RUN,
        job: JOB,
        process: PROCESS,
        dpid: DPID.to_owned(),
        attempt,
        module: manifest.name.clone(),
        version: manifest.version.clone(),
        machine: "module-test".to_owned(),
        boot_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        seed: "00000000000000ff".to_owned(),
        parameters,
        resources: resources(manifest, tested.disk.as_deref(), directory),
        gang: gang(manifest),
        on_error: String::new(),
        work: text(directory),
        state: text(directory),
        results: text(&directory.join("results")),
        pulses: Vec::new(),
        pulse_page: String::new(),
    }
}

fn resources(manifest: &Manifest, disk: Option<&Path>, directory: &Path) -> Vec<ContextResource> {
    let mut resources = Vec::new();
    for required in &manifest.requires {
        for number in 0..required.count {
            let (id, path) = match required.kind.as_str() {
                "cpu" => (format!("cpu{number}"), String::new()),
                "disk" => (format!("disk-{number}"), text(disk.unwrap_or(directory))),
                "nic" => ("lo".to_owned(), String::new()),
                kind => (format!("{kind}-{number}"), String::new()),
            };
            let (kind, device_type) = (required.kind.clone(), "unknown".to_owned());
            resources.push(ContextResource { id, kind, path, size: 0, device_type });
        }
    }
    resources
}

/// The first role; nobody plays the others.
fn gang(manifest: &Manifest) -> Option<ContextGang> {
    let role = manifest.roles.first()?.clone();
    let dpid = |at: usize| if at == 0 { DPID.to_owned() } else { format!("0001{:04x}", 0x100 + at) };
    let members = manifest.roles.iter().enumerate().map(|(at, role)| ContextMember {
        role: role.clone(),
        dpid: dpid(at),
        machine: format!("module-test-{at}"),
    });
    Some(ContextGang { number: 1, role, members: members.collect() })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
