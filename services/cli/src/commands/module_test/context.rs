//! What a tested module is told: the context and the environment of a process of its own run.

use std::collections::BTreeMap;
use std::path::Path;

use muster_module_protocol::{Context, ContextGang, ContextMember, ContextResource, Manifest, environment};

use super::Tested;

/// RunId, job and process of every trial.
pub(super) const RUN: u32 = 1;
const JOB: u32 = 1;
const PROCESS: u32 = 2;
pub(super) const DPID: &str = "00010002";
/// Where programs of the system are found, as agents say it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// The environment that goes with a context.
pub(super) fn variables(context: &Context, context_path: &Path, socket: &Path) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (environment::SOCKET, text(socket)),
        (environment::CONTEXT, text(context_path)),
        (environment::RUN, context.run.to_string()),
        (environment::DPID, context.dpid.clone()),
        (environment::ATTEMPT, context.attempt.to_string()),
        (environment::JOB, context.job.to_string()),
        (environment::PROCESS, context.process.to_string()),
        (environment::MODULE, context.module.clone()),
        (environment::MACHINE, context.machine.clone()),
        (environment::BOOT_ID, context.boot_id.clone()),
        (environment::WORK, context.work.clone()),
        (environment::RESULTS, context.results.clone()),
        (environment::SEED, context.seed.clone()),
        ("PATH", PATH.to_owned()),
        ("HOME", context.work.clone()),
        ("LANG", "C.UTF-8".to_owned()),
    ])
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
