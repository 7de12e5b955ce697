//! The command line of a module: `describe`, `--help`, and a context from flags, so that a person can try it by hand.

use std::collections::BTreeMap;

use muster_model::{Dpid, JobNumber, OnError, ProcessNumber};
use muster_module_protocol::{Context, ContextGang, ContextMember, ContextResource, Manifest};

use crate::error::SdkError;
use crate::wall::wall_time_ns;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Print the manifest.
    Describe,
    /// Print the help.
    Help,
    /// Run without an agent.
    Run(Box<Alone>),
}

/// A run without an agent.
#[derive(Debug)]
pub(crate) struct Alone {
    /// Who the process is, and what it is given.
    pub(crate) context: Context,
    /// Where it meets the other member of its gang.
    pub(crate) place: Option<String>,
}

/// Reads a command line, without the program's name.
pub(crate) fn request(manifest: &Manifest, arguments: &[String]) -> Result<Request, SdkError> {
    match arguments.first().map(String::as_str) {
        Some("describe") => return Ok(Request::Describe),
        Some("help" | "--help" | "-h") => return Ok(Request::Help),
        _ => {}
    }
    let mut alone = Alone { context: default_context(manifest), place: None };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let (flag, value) = match flag.split_once('=').filter(|_| flag.starts_with("--")) {
            Some((flag, value)) => (flag, value.to_owned()),
            None => (flag.as_str(), rest.next().cloned().unwrap_or_default()),
        };
        set(manifest, &mut alone, flag, value)?;
    }
    check_gang(manifest, &alone)?;
    Ok(Request::Run(Box::new(alone)))
}

fn set(manifest: &Manifest, alone: &mut Alone, flag: &str, value: String) -> Result<(), SdkError> {
    if value.is_empty() {
        return Err(SdkError::Usage(format!("`{flag}` needs a value")));
    }
    let context = &mut alone.context;
    match flag {
        "--role" => context.gang = Some(gang(manifest, &context.dpid, value)?),
        "--peer" => alone.place = Some(value),
        "--param" => {
            let (name, value) =
                value.split_once('=').ok_or_else(|| SdkError::Usage(format!("--param `{value}` is not NAME=VALUE")))?;
            if !manifest.parameters.iter().any(|parameter| parameter.name == name) {
                return Err(SdkError::Usage(format!("{} has no parameter `{name}`", manifest.name)));
            }
            context.parameters.insert(name.to_owned(), value.to_owned());
        }
        "--disk" | "--nic" => context.resources.push(resource(&flag[2..], context.resources.len(), value)),
        "--seed" => match u64::from_str_radix(&value, 16) {
            Ok(seed) => context.seed = format!("{seed:016x}"),
            Err(_) => return Err(SdkError::Usage(format!("--seed `{value}` is not 1 to 16 hexadecimal digits"))),
        },
        "--on-error" => {
            let read = OnError::parse(&value).map_err(|why| SdkError::Usage(format!("--on-error: {why}")))?;
            context.on_error = read.to_string();
        }
        "--work" => context.work = value,
        "--results" => context.results = value,
        _ => return Err(SdkError::Usage(format!("unknown argument `{flag}`"))),
    }
    Ok(())
}

/// The gang of a process with a role: of the others, only the roles are known.
fn gang(manifest: &Manifest, dpid: &str, role: String) -> Result<ContextGang, SdkError> {
    if !manifest.roles.contains(&role) {
        let known = if manifest.roles.is_empty() { "none".to_owned() } else { manifest.roles.join(", ") };
        return Err(SdkError::Usage(format!("{} has no role `{role}`; its roles: {known}", manifest.name)));
    }
    let members = manifest.roles.iter().map(|known| ContextMember {
        role: known.clone(),
        dpid: if *known == role { dpid.to_owned() } else { String::new() },
        machine: "standalone".to_owned(),
    });
    Ok(ContextGang { number: 1, members: members.collect(), role })
}

/// A module with roles runs by hand as one of a pair that knows where to meet.
fn check_gang(manifest: &Manifest, alone: &Alone) -> Result<(), SdkError> {
    let roles = manifest.roles.join(" or ");
    match (manifest.roles.len(), alone.context.gang.is_some(), alone.place.is_some()) {
        (0, _, true) => Err(SdkError::Usage(format!("{} has no roles, so no --peer", manifest.name))),
        (0, _, false) | (2, true, true) => Ok(()),
        (2, _, _) => Err(SdkError::Usage(format!("give it --role {roles}, and --peer HOST:PORT where the two meet"))),
        _ => Err(SdkError::Usage(format!("by hand, gangs are pairs; {} has the roles {roles}", manifest.name))),
    }
}

fn resource(kind: &str, number: usize, path: String) -> ContextResource {
    ContextResource {
        id: format!("{kind}-{number}"),
        kind: kind.to_owned(),
        path,
        size: 0,
        device_type: "unknown".to_owned(),
    }
}

/// Run 0, job 0, and the pid as process number: two runs by hand never share an identity.
fn default_context(manifest: &Manifest) -> Context {
    let pid = std::process::id();
    let seed = u64::from(pid) << 48 ^ wall_time_ns();
    let work = std::env::current_dir().map_or_else(|_| ".".to_owned(), |path| path.to_string_lossy().into_owned());
    let defaults = manifest.parameters.iter().filter_map(|known| Some((known.name.clone(), known.default.clone()?)));
    Context {
        run: 0,
        job: 0,
        process: pid,
        dpid: Dpid { job: JobNumber(0), process: ProcessNumber(pid) }.to_string(),
        attempt: 1,
        module: manifest.name.clone(),
        version: manifest.version.clone(),
        machine: "standalone".to_owned(),
        boot_id: boot_id(),
        seed: format!("{seed:016x}"),
        parameters: defaults.collect::<BTreeMap<_, _>>(),
        resources: Vec::new(),
        gang: None,
        on_error: String::new(),
        state: work.clone(),
        results: work.clone(),
        work,
        pulses: Vec::new(),
        pulse_page: String::new(),
    }
}

/// As an agent tells it; empty where the kernel does not say.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// The help.
pub(crate) fn help(manifest: &Manifest) -> String {
    let mut text = format!(
        "{name} {version}: {description}\n\n\
         Usage: muster-{name} [FLAGS]     run by hand, without an agent; messages go to stdout as JSON lines\n       \
         muster-{name} describe    print the manifest as JSON\n\n\
         Flags:\n  \
         --param NAME=VALUE  set a parameter\n  \
         --disk PATH         a disk or directory to use\n  \
         --seed HEX          repeat a run\n  \
         --on-error WHAT     when data are wrong: report (and end), continue, crash or \"trigger N[,M]\" [default: report]\n  \
         --work DIR          work directory [default: the current one]\n  \
         --results DIR       directory for results [default: the current one]\n{gang}\n\
         Parameters:\n",
        name = manifest.name,
        version = manifest.version,
        description = manifest.description,
        gang = gang_flags(manifest),
    );
    for parameter in &manifest.parameters {
        let default = parameter.default.as_deref().map_or("required".to_owned(), |text| format!("default: {text}"));
        text.push_str(&format!("  {:<18}  {} ({}) [{default}]\n", parameter.name, parameter.help, parameter.kind));
    }
    text.push_str("\nExit codes: 0 pass or skip, 1 fail, 2 error. Ctrl-C stops in order.\n");
    text
}

fn gang_flags(manifest: &Manifest) -> String {
    let Some(first) = manifest.roles.first() else { return String::new() };
    format!(
        "  --role ROLE         which of the pair this is: {}\n  \
         --peer HOST:PORT    where the two meet: the {first} listens there, the other one sends there\n",
        manifest.roles.join(" or "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Request, SdkError> {
        let manifest: Manifest = toml::from_str(
            "name = 'm'\nversion = '1'\n[[parameters]]\nname = 'size'\ntype = 'size'\ndefault = '1KiB'\n",
        )?;
        request(&manifest, &arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_make_a_context_with_defaults() {
        let Ok(Request::Run(run)) = read(&["--disk", "/tmp", "--param=size=2KiB", "--seed", "ff"]) else {
            panic!("a run");
        };
        let context = run.context;
        assert_eq!(context.parameters["size"], "2KiB");
        assert_eq!(context.resources[0].path, "/tmp");
        assert_eq!(context.seed, "00000000000000ff");
        let Ok(Request::Run(run)) = read(&[]) else { panic!("a run") };
        assert_eq!(run.context.parameters["size"], "1KiB");
        assert!(run.context.gang.is_none() && run.place.is_none());
    }

    fn read_pair(arguments: &[&str]) -> Result<Request, SdkError> {
        let manifest: Manifest = toml::from_str("name = 'm'\nversion = '1'\nroles = ['a', 'b']\n")?;
        request(&manifest, &arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_role_and_a_meeting_place_make_one_of_a_pair() {
        let Ok(Request::Run(run)) = read_pair(&["--role", "b", "--peer", "here:1"]) else { panic!("a run") };
        let gang = run.context.gang.expect("a gang");
        assert_eq!((gang.role.as_str(), gang.members.len(), run.place.as_deref()), ("b", 2, Some("here:1")));
        assert_eq!((gang.members[0].dpid.as_str(), &gang.members[1].dpid), ("", &run.context.dpid));
        for (arguments, text) in [
            (&["--role", "c"][..], "m has no role `c`; its roles: a, b"),
            (&["--role", "a"], "give it --role a or b, and --peer HOST:PORT"),
            (&[], "give it --role a or b, and --peer HOST:PORT"),
        ] {
            let error = read_pair(arguments).expect_err("refused").to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn wrong_flags_are_refused_with_what_is_wrong() {
        for (arguments, text) in [
            (vec!["--param", "other=1"], "m has no parameter `other`"),
            (vec!["--param", "size"], "--param `size` is not NAME=VALUE"),
            (vec!["--disk"], "`--disk` needs a value"),
            (vec!["--seed", "x"], "--seed `x` is not"),
            (vec!["--role", "a"], "m has no role `a`; its roles: none"),
            (vec!["--peer", "here:1"], "m has no roles, so no --peer"),
            (vec!["--on-error", "panic"], "--on-error: `panic` is none of report, continue, crash or trigger N[,M...]"),
            (vec!["--what", "1"], "unknown argument `--what`"),
        ] {
            let error = read(&arguments).expect_err("refused").to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
