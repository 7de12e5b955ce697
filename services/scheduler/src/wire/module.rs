//! Modules.

use std::time::Duration;

use muster_model::{ModuleName, ResourceKind};
use muster_proto::{WireError, v1};

use super::milliseconds;
use crate::core::module::{Artifact, Module, Parameter, ParameterType, Requirement};

/// The kind of a resource; none for one that this version does not know.
pub(super) fn resource_kind(kind: i32) -> Option<ResourceKind> {
    v1::ResourceKind::try_from(kind).ok()?.known()
}

fn parameter_type(form: i32) -> Option<ParameterType> {
    match v1::ParameterType::try_from(form).ok()? {
        v1::ParameterType::Unspecified => None,
        v1::ParameterType::Text => Some(ParameterType::Text),
        v1::ParameterType::Integer => Some(ParameterType::Integer),
        v1::ParameterType::Boolean => Some(ParameterType::Boolean),
        v1::ParameterType::Size => Some(ParameterType::Size),
        v1::ParameterType::Duration => Some(ParameterType::Duration),
        v1::ParameterType::Choice => Some(ParameterType::Choice),
    }
}

impl From<ParameterType> for v1::ParameterType {
    fn from(form: ParameterType) -> Self {
        match form {
            ParameterType::Text => Self::Text,
            ParameterType::Integer => Self::Integer,
            ParameterType::Boolean => Self::Boolean,
            ParameterType::Size => Self::Size,
            ParameterType::Duration => Self::Duration,
            ParameterType::Choice => Self::Choice,
        }
    }
}

impl From<&Module> for v1::Module {
    fn from(module: &Module) -> Self {
        Self {
            name: module.name.to_string(),
            version: module.version.clone(),
            description: module.description.clone(),
            artifacts: module.artifacts.iter().map(artifact_to_wire).collect(),
            requirements: module.requirements.iter().map(requirement_to_wire).collect(),
            parameters: module.parameters.iter().map(parameter_to_wire).collect(),
            stop_grace_ms: milliseconds(module.stop_grace),
            ends_by_itself: module.ends_by_itself,
            stall_ms: milliseconds(module.stall),
            roles: module.roles.clone(),
            reboots: module.reboots,
            root: module.root,
            clients: module.clients.clone(),
            client_selector: module.client_selector.clone(),
        }
    }
}

impl TryFrom<v1::Module> for Module {
    type Error = WireError;
    fn try_from(module: v1::Module) -> Result<Self, WireError> {
        let name = ModuleName::new(&module.name).map_err(|error| WireError::invalid("Module", "name", error))?;
        let mut parameters: Vec<Parameter> =
            module.parameters.into_iter().map(parameter_from_wire).collect::<Result<_, _>>()?;
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        let mut artifacts: Vec<Artifact> = module.artifacts.into_iter().map(artifact_from_wire).collect();
        artifacts.sort_by(|a, b| a.architecture.cmp(&b.architecture));
        Ok(Self {
            name,
            version: module.version,
            description: module.description,
            artifacts,
            requirements: module.requirements.into_iter().map(requirement_from_wire).collect::<Result<_, _>>()?,
            parameters,
            stop_grace: Duration::from_millis(module.stop_grace_ms),
            ends_by_itself: module.ends_by_itself,
            stall: Duration::from_millis(module.stall_ms),
            roles: module.roles,
            reboots: module.reboots,
            root: module.root,
            clients: module.clients,
            client_selector: module.client_selector,
        })
    }
}

fn artifact_to_wire(artifact: &Artifact) -> v1::Artifact {
    let Artifact { architecture, sha256, size_bytes } = artifact.clone();
    v1::Artifact { architecture, sha256, size_bytes }
}

fn artifact_from_wire(artifact: v1::Artifact) -> Artifact {
    let v1::Artifact { architecture, sha256, size_bytes } = artifact;
    Artifact { architecture, sha256, size_bytes }
}

fn requirement_to_wire(need: &Requirement) -> v1::Requirement {
    v1::Requirement {
        kind: v1::ResourceKind::from(need.kind).into(),
        count: need.count,
        weight_milli: need.weight_milli,
    }
}

fn requirement_from_wire(need: v1::Requirement) -> Result<Requirement, WireError> {
    let kind = resource_kind(need.kind).ok_or_else(|| WireError::invalid("Requirement", "kind", need.kind))?;
    Ok(Requirement { kind, count: need.count, weight_milli: need.weight_milli })
}

fn parameter_to_wire(parameter: &Parameter) -> v1::Parameter {
    v1::Parameter {
        name: parameter.name.clone(),
        r#type: v1::ParameterType::from(parameter.form).into(),
        default: parameter.default.clone(),
        minimum: parameter.minimum.clone(),
        maximum: parameter.maximum.clone(),
        values: parameter.values.clone(),
        required: parameter.required,
        help: parameter.help.clone(),
        live: parameter.live,
    }
}

fn parameter_from_wire(parameter: v1::Parameter) -> Result<Parameter, WireError> {
    let form = parameter_type(parameter.r#type);
    let form =
        form.ok_or_else(|| WireError::invalid("Parameter", "type", format!("of parameter `{}`", parameter.name)))?;
    Ok(Parameter {
        name: parameter.name,
        form,
        default: parameter.default,
        minimum: parameter.minimum,
        maximum: parameter.maximum,
        values: parameter.values,
        required: parameter.required,
        help: parameter.help,
        live: parameter.live,
    })
}
