//! The command line of a module: `describe`, `--help`, and a context from flags, so that a person can try it by hand.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_module_protocol::{Context, ContextResource, Manifest};

use crate::error::SdkError;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Print the manifest.
    Describe,
    /// Print the help.
    Help,
    /// Run without an agent.
    Run(Box<Context>),
}

/// Reads a command line, without the program's name.
pub(crate) fn request(manifest: &Manifest, arguments: &[String]) -> Result<Request, SdkError> {
    match arguments.first().map(String::as_str) {
        Some("describe") => return Ok(Request::Describe),
        Some("help" | "--help" | "-h") => return Ok(Request::Help),
        _ => {}
    }
    let mut context = default_context(manifest);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let (flag, value) = match flag.split_once('=').filter(|_| flag.starts_with("--")) {
            Some((flag, value)) => (flag, value.to_owned()),
            None => (flag.as_str(), rest.next().cloned().unwrap_or_default()),
        };
        set(manifest, &mut context, flag, value)?;
    }
    Ok(Request::Run(Box::new(context)))
}

fn set(manifest: &Manifest, context: &mut Context, flag: &str, value: String) -> Result<(), SdkError> {
    if value.is_empty() {
        return Err(SdkError::Usage(format!("`{flag}` needs a value")));
    }
    match flag {
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
        "--work" => context.work = value,
        "--results" => context.results = value,
        _ => return Err(SdkError::Usage(format!("unknown argument `{flag}`"))),
    }
    Ok(())
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
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let seed = u64::from(pid) << 48 ^ u64::try_from(time & u128::from(u64::MAX)).unwrap_or(0);
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
        boot_id: String::new(),
        seed: format!("{seed:016x}"),
        parameters: defaults.collect::<BTreeMap<_, _>>(),
        resources: Vec::new(),
        gang: None,
        results: work.clone(),
        work,
    }
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
         --work DIR          work directory [default: the current one]\n  \
         --results DIR       directory for results [default: the current one]\n\n\
         Parameters:\n",
        name = manifest.name,
        version = manifest.version,
        description = manifest.description,
    );
    for parameter in &manifest.parameters {
        let default = parameter.default.as_deref().map_or("required".to_owned(), |text| format!("default: {text}"));
        text.push_str(&format!("  {:<18}  {} ({}) [{default}]\n", parameter.name, parameter.help, parameter.kind));
    }
    text.push_str("\nExit codes: 0 pass or skip, 1 fail, 2 error. Ctrl-C stops in order.\n");
    text
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
        let Ok(Request::Run(context)) = read(&["--disk", "/tmp", "--param=size=2KiB", "--seed", "ff"]) else {
            panic!("a run");
        };
        assert_eq!(context.parameters["size"], "2KiB");
        assert_eq!(context.resources[0].path, "/tmp");
        assert_eq!(context.seed, "00000000000000ff");
        let Ok(Request::Run(context)) = read(&[]) else { panic!("a run") };
        assert_eq!(context.parameters["size"], "1KiB");
    }

    #[test]
    fn wrong_flags_are_refused_with_what_is_wrong() {
        for (arguments, text) in [
            (vec!["--param", "other=1"], "m has no parameter `other`"),
            (vec!["--param", "size"], "--param `size` is not NAME=VALUE"),
            (vec!["--disk"], "`--disk` needs a value"),
            (vec!["--seed", "x"], "--seed `x` is not"),
            (vec!["--what", "1"], "unknown argument `--what`"),
        ] {
            let error = read(&arguments).expect_err("refused").to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
