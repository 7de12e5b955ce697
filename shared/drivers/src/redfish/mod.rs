//! A baseboard controller by Redfish (DMTF DSP0266): the PowerState of a ComputerSystem, and its action Reset.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::{Method, StatusCode};
use muster_model::power::RedfishPower;
use muster_model::text::cut;
use muster_model::{MachineId, PowerAction, PowerState};
use serde_json::{Value, json};

use crate::http::{Answered, Client};
use crate::{Answer, Deadline, Done, DriverError, PowerDriver, secret, tls};

/// The action of a system, as its resource names it.
const RESET: &str = "#ComputerSystem.Reset";
/// Longest message of a service that is told, bytes.
const TOLD_BYTES_MAX: usize = 200;

/// Power by Redfish.
pub(crate) struct Power {
    redfish: RedfishPower,
    machine: MachineId,
}

impl Power {
    pub(crate) fn new(redfish: &RedfishPower, machine: &MachineId) -> Self {
        Self { redfish: redfish.clone(), machine: machine.clone() }
    }

    fn client(&self) -> Result<Client, DriverError> {
        let (spec, machine) = (&self.redfish, &self.machine);
        let tls = tls::connector(&spec.trust, machine)?;
        let who = format!("{}:{}", spec.user.fill(machine), secret::read(&spec.secret, machine)?);
        let headers = vec![
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(who))),
            (HeaderName::from_static("odata-version"), "4.0".to_owned()),
        ];
        Client::new(&spec.url.fill(machine), tls, headers)
    }

    async fn reset(&self, words: &[&str], deadline: Deadline) -> Result<Done, DriverError> {
        let client = self.client()?;
        // What was not asked to change anything was not begun, whatever became of it.
        let system = system(&client, deadline).await.map_err(|error| DriverError::Unable(error.to_string()))?;
        let reset = system.pointer("/Actions").and_then(|actions| actions.get(RESET)).cloned().unwrap_or_default();
        let word = choose(&reset, words)?;
        let default = format!("{}/Actions/ComputerSystem.Reset", client.path().trim_end_matches('/'));
        let target = reset.get("target").and_then(Value::as_str).unwrap_or(&default);
        let answered = client.ask(Method::POST, target, Some(&json!({ "ResetType": word })), deadline).await?;
        refused(&answered, target).map_or(Ok(Done::Done), Err)
    }
}

/// The system, as the service describes it.
async fn system(client: &Client, deadline: Deadline) -> Result<Value, DriverError> {
    let answered = client.ask(Method::GET, client.path(), None, deadline).await?;
    match refused(&answered, client.path()) {
        Some(error) => Err(error),
        None if answered.body.is_object() => Ok(answered.body),
        None => Err(DriverError::Unclear(format!("{} answers with something else than JSON", client.path()))),
    }
}

/// The first of some words for one thing that the service permits; it may not say what it permits.
fn choose<'a>(reset: &Value, words: &[&'a str]) -> Result<&'a str, DriverError> {
    let Some(permitted) = reset.get("ResetType@Redfish.AllowableValues").and_then(Value::as_array) else {
        return Ok(words[0]);
    };
    let permitted: Vec<&str> = permitted.iter().filter_map(Value::as_str).collect();
    let chosen = words.iter().find(|word| permitted.contains(word)).copied();
    chosen.ok_or_else(|| {
        DriverError::Unable(format!("the service has no {}; it permits {}", words.join(" or "), permitted.join(", ")))
    })
}

/// The error of an answer that is no success.
fn refused(answered: &Answered, path: &str) -> Option<DriverError> {
    let status = answered.status;
    if status.is_success() {
        return None;
    }
    let said = answered.body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; look at user and password",
        StatusCode::NOT_FOUND => "; look at the url, the service lists its systems at /redfish/v1/Systems",
        _ => "",
    };
    Some(DriverError::Refused(format!("{path}: {status} {}{hint}", cut(said, TOLD_BYTES_MAX))))
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        PowerAction::ALL.into()
    }

    fn reads_state(&self) -> bool {
        true
    }

    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            let system = system(&self.client()?, deadline).await?;
            Ok(match system.get("PowerState").and_then(Value::as_str) {
                // A system that is going down is not down yet, and one that is coming up is not up.
                Some("On" | "PoweringOff" | "Paused") => PowerState::On,
                Some("Off" | "PoweringOn") => PowerState::Off,
                Some(_) | None => PowerState::Unknown,
            })
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        let words: &[&str] = match action {
            PowerAction::On => &["On", "ForceOn"],
            PowerAction::Off => &["ForceOff"],
            PowerAction::Cycle => &["PowerCycle"],
            PowerAction::Reset => &["ForceRestart"],
            PowerAction::Dump => &["Nmi"],
        };
        Box::pin(self.reset(words, deadline))
    }
}
