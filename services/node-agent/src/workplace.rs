//! The place of one process: its directory, its context, the head of its log, its environment.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use muster_model::{MachineId, ProcessId};
use muster_module_protocol::{Context, ContextGang, ContextMember, ContextResource, environment};
use muster_proto::v1::{Inventory, StartSpec};

use crate::core::gang::{Gang, Member};
use crate::core::orders::Order;
use crate::disk::token::Tokens;
use crate::keeper::executable::{Checked, PROGRAM_LINK};
use crate::keeper::protocol::{Limits, Spawn};
use crate::names::{id_of, name_of, seed_of};
use crate::policy::UserRange;
use crate::private;
use crate::users::{User, Users, hand_over, owner_of};

/// Variables of the agent that test processes are given too: by the first a lab finds what belongs to it.
const PASSED_ON: [&str; 1] = ["MUSTER_LAB"];

/// The context is the agent's, and read by the process, to which alone its directory is open.
const CONTEXT_MODE: u32 = 0o644;

/// What processes of one order have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// What is to be started.
    pub spec: StartSpec,
    /// This machine.
    pub machine: MachineId,
    /// What is on it.
    pub inventory: std::sync::Arc<Inventory>,
    /// The agent's state directory.
    pub state: PathBuf,
    /// What makes the tokens of processes.
    pub tokens: Tokens,
    /// Where a person finds the scripts of a test that is set up for them.
    pub home: PathBuf,
}

/// How processes of one order are executed.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The artifact.
    pub program: Checked,
    /// Where each gets a user of its own; none where they run as the agent does.
    pub users: Option<(Users, UserRange)>,
    /// They run as root because their module has to.
    pub root: bool,
    /// What each may take.
    pub limits: Limits,
}

/// Directory of a process.
pub(crate) fn directory_of(state: &Path, id: ProcessId) -> PathBuf {
    state.join("work").join(name_of(id))
}

/// What the attempts of a process on this machine keep for each other.
pub(crate) fn kept_of(state: &Path, id: ProcessId) -> PathBuf {
    state.join("kept").join(format!("{}-{}", id.run, id.dpid))
}

/// Processes that keep something, by the name of their directory.
pub(crate) fn all_kept(state: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(state.join("kept")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Processes that have a directory.
pub(crate) fn all(state: &Path) -> impl Iterator<Item = ProcessId> {
    let entries = std::fs::read_dir(state.join("work")).into_iter().flatten().flatten();
    entries.filter_map(|entry| id_of(entry.file_name().to_str()?))
}

/// Removes the directory of a process.
pub(crate) fn remove(directory: PathBuf) {
    if let Err(error) = std::fs::remove_dir_all(&directory) {
        tracing::debug!(%error, directory = %directory.display(), "a directory could not be removed");
    }
}

/// The pulse page of this machine.
pub(crate) fn page_of(state: &Path) -> PathBuf {
    state.join("pulses")
}

/// Log of a process.
pub(crate) fn log_of(state: &Path, id: ProcessId) -> PathBuf {
    directory_of(state, id).join("log")
}

/// Makes the place of a process, and what the keeper needs to start it.
pub(crate) fn make(common: &Common, launch: &Launch, order: &Order) -> anyhow::Result<Spawn> {
    let (id, resources) = (order.id, &order.resources);
    let directory = directory_of(&common.state, id);
    let results = directory.join("results");
    let kept = keeps(common).then(|| kept_of(&common.state, id));
    let user = user_of(launch, &directory, kept.as_deref())?;
    for directory in [&directory, &results].into_iter().chain(&kept) {
        make_directory(directory).with_context(|| format!("make {}", directory.display()))?;
    }
    let context = context(common, order, &directory);
    let context_path = context.path();
    let json = serde_json::to_vec_pretty(&context).context("write the context")?;
    std::fs::write(&context_path, json)
        .and_then(|()| private::open_to_tests(&context_path, CONTEXT_MODE))
        .with_context(|| format!("write {}", context_path.display()))?;
    let log = log_of(&common.state, id);
    let head = log_head(common, &context, resources);
    let mut file = std::fs::File::create(&log).with_context(|| format!("write {}", log.display()))?;
    file.write_all(head.as_bytes()).with_context(|| format!("write {}", log.display()))?;
    // Executed through a link with its name: so `ps` shows a script's DPID too, whose argv[0] is its interpreter's.
    let argv0 = format!("{}:{}", context.module, context.dpid);
    let link = directory.join(&argv0);
    // A person starts it by the file; the keeper by the descriptor of what was checked.
    let target = if common.spec.check_out { launch.program.path.as_path() } else { Path::new(PROGRAM_LINK) };
    let linked = std::os::unix::fs::symlink(target, &link);
    if linked.is_err() && std::fs::read_link(&link).ok().as_deref() != Some(target) {
        linked.with_context(|| format!("link {}", link.display()))?;
    }
    // The work directory last: nothing in it is the process's before all of it is.
    for directory in kept.iter().chain([&results, &directory]) {
        if let Some(user) = user {
            hand_over(directory, user).with_context(|| format!("hand over {}", directory.display()))?;
        }
    }
    Ok(Spawn {
        name: name_of(id),
        program: text(&link),
        argv0,
        environment: variables(common, &context, common.tokens.token_of(id)),
        directory: text(&directory),
        log: text(&log),
        artifact: Some(launch.program.clone()),
        user: user.map(|user| user.uid),
        group: user.map_or(0, |user| user.gid),
        root: launch.root,
        limits: launch.limits,
    })
}

/// The user of a process. What an attempt before it kept belongs to the user that it had, and so does a place that was made before.
fn user_of(launch: &Launch, directory: &Path, kept: Option<&Path>) -> anyhow::Result<Option<User>> {
    let Some((users, range)) = &launch.users else { return Ok(None) };
    let is_ours = |uid: &u32| *uid > range.first && *uid <= range.first + range.count;
    let known = kept.into_iter().chain([directory]).find_map(|directory| owner_of(directory).filter(is_ours));
    let user = known.map(|uid| User { uid, gid: range.first }).or_else(|| users.take(*range));
    let user = user.with_context(|| format!("find a user: all {} of this machine's policy are taken", range.count))?;
    Ok(Some(user))
}

/// Its processes begin again after a reboot, and find what they kept.
fn keeps(common: &Common) -> bool {
    common.spec.module.as_ref().is_some_and(|module| module.reboots)
}

/// One that is there already is as good as a new one.
fn make_directory(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir_all(path),
        made => made,
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn context(common: &Common, order: &Order, directory: &Path) -> Context {
    let (id, resources) = (order.id, &order.resources);
    let module = common.spec.module.clone().unwrap_or_default();
    Context {
        run: id.run.0,
        job: id.dpid.job.0,
        process: id.dpid.process.0,
        dpid: id.dpid.to_string(),
        attempt: id.attempt.0,
        module: module.name,
        version: module.version,
        machine: common.machine.to_string(),
        boot_id: common.inventory.boot_id.clone(),
        seed: format!("{:016x}", seed_of(common.spec.seed, id.dpid)),
        parameters: common.spec.parameters.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect(),
        resources: resources.iter().filter_map(|resource| context_resource(&common.inventory, resource)).collect(),
        gang: order.gang.as_ref().map(context_gang),
        on_error: common.spec.on_error.clone(),
        work: text(directory),
        results: text(&directory.join("results")),
        state: if keeps(common) { text(&kept_of(&common.state, id)) } else { String::new() },
        pulses: common.spec.pulses.iter().filter_map(|number| u8::try_from(*number).ok()).collect(),
        pulse_page: text(&page_of(&common.state)),
    }
}

fn context_gang(gang: &Gang) -> ContextGang {
    let member = |member: &Member| ContextMember {
        role: member.role.clone(),
        dpid: member.id.dpid.to_string(),
        machine: member.machine.to_string(),
    };
    ContextGang { number: gang.number, role: gang.role.clone(), members: gang.members.iter().map(member).collect() }
}

fn context_resource(inventory: &Inventory, id: &str) -> Option<ContextResource> {
    let resource = inventory.resources.iter().find(|resource| resource.id == id)?;
    let kind = resource.kind().known()?;
    Some(ContextResource {
        id: resource.id.clone(),
        kind: kind.as_str().into(),
        path: resource.path.clone(),
        size: resource.size,
        device_type: resource.device_type.clone(),
    })
}

/// What goes with the context, and what the agent passes on.
fn variables(common: &Common, context: &Context, token: String) -> BTreeMap<String, String> {
    let own = context.environment(&common.state.join("agent.sock"));
    let passed = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let token = (environment::TOKEN.to_owned(), token);
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(passed).chain([token]).collect()
}

/// Lines at the head of every log, so that it can be read without Muster.
fn log_head(common: &Common, context: &Context, resources: &[String]) -> String {
    let mut head = format!(
        "# module {} {}\n# run {} dpid {} attempt {}\n# machine {} boot {}\n# resources {}\n",
        context.module,
        context.version,
        context.run,
        context.dpid,
        context.attempt,
        context.machine,
        context.boot_id,
        resources.join(" "),
    );
    for (name, value) in &context.parameters {
        head.push_str(&format!("# parameter {name}={}\n", value.escape_default()));
    }
    head.push_str(&format!("# seed {}\n# started by {}\n", context.seed, common.spec.actor));
    head
}

#[cfg(test)]
mod tests {
    use muster_model::{Attempt, Dpid, Epoch, JobNumber, Position, ProcessNumber, RunId};
    use muster_proto::v1::{KeyValue, Module, Resource, ResourceKind};

    use super::*;
    use crate::keeper::executable::Mark;

    #[test]
    fn a_place_holds_context_log_head_and_a_named_link() {
        let state = tempfile::tempdir().unwrap();
        let disk = Resource {
            id: "disk-a".into(),
            kind: ResourceKind::Disk.into(),
            path: "/d".into(),
            size: 7,
            ..Resource::default()
        };
        let common = Common {
            spec: StartSpec {
                module: Some(Module { name: "high-io".into(), version: "2".into(), ..Module::default() }),
                parameters: vec![KeyValue { key: "size".into(), value: "4\nKiB".into() }],
                seed: 5,
                ..StartSpec::default()
            },
            machine: MachineId::new("node-1").unwrap(),
            inventory: std::sync::Arc::new(Inventory { resources: vec![disk], ..Inventory::default() }),
            state: state.path().into(),
            tokens: Tokens::open(state.path()).unwrap(),
            home: state.path().into(),
        };
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(2) };
        let id = ProcessId { run: RunId(3), dpid, attempt: Attempt(1) };
        let member = |process, role: &str, machine| Member {
            id: ProcessId { dpid: Dpid { process: ProcessNumber(process), ..dpid }, ..id },
            role: role.into(),
            machine: MachineId::new(machine).unwrap(),
        };
        let members = vec![member(1, "server", "node-1"), member(2, "client", "node-2")];
        let order = Order {
            id,
            epoch: Epoch(1),
            placed_on: Position::default(),
            resources: vec!["disk-a".into()],
            stop: None,
            gang: Some(Gang { number: 1, role: "client".into(), members }),
            expected: None,
            synced: None,
            errands: Vec::new(),
        };
        let mark = Mark::of(&std::fs::metadata("/bin/true").unwrap());
        let program = Checked { path: "/bin/true".into(), mark };
        let launch = Launch { program, users: None, root: false, limits: Limits::default() };
        let spawn = make(&common, &launch, &order).unwrap();
        assert_eq!((spawn.name.as_str(), spawn.argv0.as_str()), ("3-00010002-1", "high-io:00010002"));
        let context: Context =
            serde_json::from_slice(&std::fs::read(&spawn.environment["MUSTER_CONTEXT"]).unwrap()).unwrap();
        assert_eq!((context.resources[0].path.as_str(), context.seed.len()), ("/d", 16));
        let log = std::fs::read_to_string(&spawn.log).unwrap();
        assert!(log.lines().all(|line| line.starts_with("# ")), "{log}");
        assert!(log.contains("# module high-io 2") && log.contains("# parameter size=4\\nKiB"), "{log}");
        let gang = context.gang.unwrap();
        assert_eq!((gang.number, gang.role.as_str(), gang.members.len()), (1, "client", 2));
        let server = &gang.members[0];
        assert_eq!((server.dpid.as_str(), server.machine.as_str()), ("00010001", "node-1"));
        make(&common, &launch, &order).unwrap();
    }
}
