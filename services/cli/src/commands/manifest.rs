//! A module's manifest as the catalogue takes it. Pure: files are read elsewhere.

use std::time::Duration;

use muster_model::quantity::parse_duration;
use muster_model::{ModuleName, ResourceKind, milliseconds};
use muster_module_protocol::{Manifest, ManifestParameter, ManifestRequirement};
use muster_proto::v1;

use super::pool_file::told;

/// Reads a manifest; says in one line what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Manifest, String> {
    toml::from_str(text).map_err(|error| told(text, &error))
}

/// The module of a manifest, without its artifacts.
pub(super) fn module(manifest: &Manifest) -> Result<v1::Module, String> {
    let name = ModuleName::new(&manifest.name).map_err(|error| error.to_string())?;
    if manifest.version.is_empty() {
        return Err("`version` is empty".into());
    }
    if manifest.artifacts.is_empty() {
        return Err("it has no [[artifacts]]: name the executable".into());
    }
    let grace = parse_duration(&manifest.stop_grace).map_err(|error| format!("stop_grace: {error}"))?;
    let stall = match manifest.stall.as_str() {
        "" => Duration::ZERO,
        given => parse_duration(given).map_err(|error| format!("stall: {error}"))?,
    };
    let mut parameters = manifest.parameters.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = parameters.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(format!("parameter `{}` is there twice", twice[0].name));
    }
    Ok(v1::Module {
        name: name.to_string(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        artifacts: Vec::new(),
        requirements: manifest.requires.iter().map(requirement).collect::<Result<_, _>>()?,
        parameters,
        stop_grace_ms: milliseconds(grace),
        ends_by_itself: manifest.ends_by_itself,
        stall_ms: milliseconds(stall),
        roles: manifest.roles.clone(),
        reboots: manifest.reboots,
        root: manifest.root,
        clients: manifest.clients.clone(),
        client_selector: manifest.client_selector.clone(),
    })
}

fn requirement(required: &ManifestRequirement) -> Result<v1::Requirement, String> {
    let kind = ResourceKind::from_word(&required.kind)
        .ok_or_else(|| format!("requires: kind `{}` is none of {}", required.kind, ResourceKind::words()))?;
    if required.count == 0 {
        return Err(format!("requires: count of {} must be at least 1", required.kind));
    }
    Ok(v1::Requirement {
        kind: v1::ResourceKind::from(kind).into(),
        count: required.count,
        weight_milli: required.weight_milli,
    })
}

fn parameter(given: &ManifestParameter) -> Result<v1::Parameter, String> {
    let kind = match given.kind.as_str() {
        "text" => v1::ParameterType::Text,
        "integer" => v1::ParameterType::Integer,
        "boolean" => v1::ParameterType::Boolean,
        "size" => v1::ParameterType::Size,
        "duration" => v1::ParameterType::Duration,
        "choice" => v1::ParameterType::Choice,
        other => {
            let legal = "text, integer, boolean, size, duration, choice";
            return Err(format!("parameter `{}`: type `{other}` is none of {legal}", given.name));
        }
    };
    Ok(v1::Parameter {
        name: given.name.clone(),
        r#type: kind.into(),
        default: given.default.clone().unwrap_or_default(),
        minimum: given.minimum.clone().unwrap_or_default(),
        maximum: given.maximum.clone().unwrap_or_default(),
        values: given.values.clone(),
        required: given.default.is_none(),
        help: given.help.clone(),
        live: given.live,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
name = "high-io"
version = "1.0"
stop_grace = "5s"
stall = "90s"
roles = ["server", "client"]
[[artifacts]]
architecture = "x86_64"
path = "muster-high-io"
[[requires]]
kind = "disk"
[[parameters]]
name = "depth"
type = "integer"
default = "4"
[[parameters]]
name = "block"
type = "size"
"#;

    #[test]
    fn a_manifest_becomes_a_module_with_sorted_parameters() {
        let module = module(&parse(MANIFEST).unwrap()).unwrap();
        assert_eq!((module.stop_grace_ms, module.stall_ms), (5000, 90_000));
        assert_eq!(module.roles, ["server", "client"]);
        let names: Vec<(&str, bool)> = module.parameters.iter().map(|p| (p.name.as_str(), p.required)).collect();
        assert_eq!(names, [("block", true), ("depth", false)]);
        assert_eq!((module.requirements[0].count, module.requirements[0].weight_milli), (1, 1000));
    }

    #[test]
    fn a_wrong_manifest_is_told_with_its_place() {
        assert!(parse("name = \"x\"\nversoin = \"1\"\n").unwrap_err().starts_with("line 2:"));
        let check = |from: &str, to: &str| module(&parse(&MANIFEST.replace(from, to)).unwrap()).unwrap_err();
        assert!(check("high-io\"\nversion", "HIGH\"\nversion").contains("HIGH"));
        assert!(check("\"90s\"", "\"soon\"").starts_with("stall: "));
        assert!(check("\"disk\"", "\"disc\"").contains("disc"));
        assert!(check("\"integer\"", "\"int\"").contains("depth"));
        assert!(check("\"block\"", "\"depth\"").contains("twice"));
        assert!(check("\"5s\"", "\"5\"").contains("stop_grace"));
    }
}
