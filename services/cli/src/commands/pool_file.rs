//! The pool file: machines named before they appear, with their protection and their settings.

use std::collections::BTreeMap;

use muster_model::MachineId;
use muster_proto::v1::{LoadPool, PoolMachine, SetSettings};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::boots;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolFile {
    machine: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    protect: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    protect_machine: bool,
    #[serde(default)]
    active: bool,
    /// Settings by the names that `muster machine set` has for them.
    #[serde(default)]
    set: BTreeMap<String, Spanned<Value>>,
}

/// A TOML error in one line, with the number of the line that is wrong.
pub(crate) fn told(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    format!("line {}: {}", line(text, start), error.message())
}

/// The number of the line in which a place is, from 1.
fn line(text: &str, place: usize) -> usize {
    text.get(..place).unwrap_or_default().matches('\n').count() + 1
}

/// Reads a pool file; says in one line what is wrong with it.
pub(super) fn parse(text: &str) -> Result<LoadPool, String> {
    let file: PoolFile = toml::from_str(text).map_err(|error| told(text, &error))?;
    let mut machines = Vec::new();
    for entry in file.machine {
        let machine = MachineId::new(&entry.name).map_err(|error| error.to_string())?.to_string();
        if machines.iter().any(|known: &PoolMachine| known.machine == machine) {
            return Err(format!("machine `{machine}` is named twice"));
        }
        let settings = settings(text, &machine, &entry.set)?;
        let (mut protect, mut tags) = (entry.protect, entry.tags);
        protect.sort();
        tags.sort();
        machines.push(PoolMachine {
            machine,
            protect,
            tags,
            active: entry.active,
            protect_machine: entry.protect_machine,
            settings,
        });
    }
    Ok(LoadPool { machines })
}

/// The settings of one machine; none where its entry has none.
fn settings(
    text: &str,
    machine: &str,
    given: &BTreeMap<String, Spanned<Value>>,
) -> Result<Option<SetSettings>, String> {
    let mut set = SetSettings::default();
    for (name, value) in given {
        let place = format!("line {}: machine `{machine}`", line(text, value.span().start));
        let value =
            word(value.get_ref()).ok_or_else(|| format!("{place}: `{name}` is a text, a number, or true or false"))?;
        boots::take(&mut set, &format!("{name}={value}")).map_err(|why| format!("{place}: {why}"))?;
    }
    Ok((!given.is_empty()).then_some(set))
}

/// A value as it is written on the command line.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(true) => Some("yes".into()),
        Value::Boolean(false) => Some("no".into()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_file_names_machines_with_their_protection() {
        let text = "[[machine]]\nname = \"node-1\"\nprotect = [\"nic-*\", \"disk-sda\"]\nactive = true\n\n\
            [[machine]]\nname = \"node-2\"\nprotect_machine = true\n";
        let pool = parse(text).unwrap();
        assert_eq!(pool.machines[0].protect, ["disk-sda", "nic-*"]);
        assert!(pool.machines[0].active && !pool.machines[1].active);
        assert!(!pool.machines[0].protect_machine && pool.machines[1].protect_machine);
    }

    #[test]
    fn a_machine_has_the_settings_of_machine_set_and_no_others() {
        let text = "[[machine]]\nname = \"a\"\n[machine.set]\nboot = \"grub\"\nattempts = 5\nboot-within = \"90s\"\n\
            drain = \"\"\nleave-down = true\n\n[[machine]]\nname = \"b\"\n";
        let pool = parse(text).unwrap();
        let set = pool.machines[0].settings.clone().unwrap();
        assert_eq!((set.boot_driver, set.attempts_max, set.boot_within_ns), (Some(3), Some(5), Some(90_000_000_000)));
        assert_eq!((set.drain_ns, set.install_within_ns, set.leave_down), (Some(0), None, Some(true)));
        assert_eq!(pool.machines[1].settings, None);
        for (wrong, words) in [
            ("boot = \"lilo\"", "systemd-boot"),
            ("boost = \"grub\"", "attempts"),
            ("attempts = \"many\"", "count"),
            ("drain = \"soon\"", "90s"),
            ("drain = 1.5", "text"),
        ] {
            let text = format!("[[machine]]\nname = \"a\"\n\n[[machine]]\nname = \"b\"\n[machine.set]\n{wrong}\n");
            let why = parse(&text).unwrap_err();
            assert!(why.starts_with("line 7: machine `b`:") && why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_wrong_pool_file_is_told_with_its_line() {
        assert!(parse("[[machine]]\nname = \"node-1\"\nprotct = []\n").unwrap_err().starts_with("line 3:"));
        assert!(parse("[[machine]]\nname = \"NODE\"\n").unwrap_err().contains("NODE"));
        let twice = "[[machine]]\nname = \"a\"\n[[machine]]\nname = \"a\"\n";
        assert!(parse(twice).unwrap_err().contains("twice"));
    }
}
