//! The pool file: machines named before they appear.

use muster_model::MachineId;
use muster_proto::v1::{LoadPool, PoolMachine};
use serde::Deserialize;

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
}

/// A TOML error in one line, with the number of the line that is wrong.
pub(crate) fn told(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
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
        let (mut protect, mut tags) = (entry.protect, entry.tags);
        protect.sort();
        tags.sort();
        machines.push(PoolMachine {
            machine,
            protect,
            tags,
            active: entry.active,
            protect_machine: entry.protect_machine,
        });
    }
    Ok(LoadPool { machines })
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
    fn a_wrong_pool_file_is_told_with_its_line() {
        assert!(parse("[[machine]]\nname = \"node-1\"\nprotct = []\n").unwrap_err().starts_with("line 3:"));
        assert!(parse("[[machine]]\nname = \"NODE\"\n").unwrap_err().contains("NODE"));
        let twice = "[[machine]]\nname = \"a\"\n[[machine]]\nname = \"a\"\n";
        assert!(parse(twice).unwrap_err().contains("twice"));
    }
}
