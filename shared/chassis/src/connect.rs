//! Connecting a service to the bus.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use muster_bus::{Bus, BusOptions, SigningFile};

use crate::{CommonArguments, SigningArguments};

/// How long a service waits for NATS at its start: both may be started at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to the bus as `<service>/<instance>`.
///
/// # Errors
/// When its credentials are not those of the service, or no usable server answers in time.
pub async fn connect(arguments: &CommonArguments, service: &str) -> anyhow::Result<Bus> {
    connect_with(arguments, None, service).await
}

/// The same for a service that commands agents: what it tells them is signed.
///
/// # Errors
/// Also when it has credentials and no signing key, or one of another service.
pub async fn connect_signing(
    arguments: &CommonArguments,
    signing: &SigningArguments,
    service: &str,
) -> anyhow::Result<Bus> {
    let signing = match &signing.signing_key {
        Some(path) => Some(SigningFile::open(path)?),
        // Who has no credentials either is told of those.
        None if arguments.credentials.is_none() => None,
        None => bail!(
            "command agents without a signing key: they would refuse all of it; give --signing-key FILE or MUSTER_SIGNING_KEY, which \
             `muster admin init --keys` makes, and `muster admin rotate service/{service}` where it is missing"
        ),
    };
    if let Some(signing) = &signing {
        let signer = signing.signer().as_str();
        ensure!(signer == service, "use the signing key of {signer}; this is {service}: give it its own");
    }
    connect_with(arguments, signing, service).await
}

async fn connect_with(arguments: &CommonArguments, signing: Option<SigningFile>, service: &str) -> anyhow::Result<Bus> {
    let access = arguments.access()?;
    if let Some(identity) = access.identity() {
        let own = format!("service/{service}");
        ensure!(identity.to_string() == own, "use the credentials of {identity}; this is {own}: give it its own");
    }
    let mut options = BusOptions::new(&arguments.nats, &format!("{service}/{}", arguments.instance), access);
    options.connect_timeout = CONNECT_TIMEOUT;
    options.limits = arguments.limits();
    options.signing = signing.map(Arc::new);
    let bus = Bus::connect(&options).await.context("connect")?;
    tracing::info!(server = bus.client().server_info().server_name, "connected");
    Ok(bus)
}

#[cfg(test)]
mod tests {
    use muster_signing::Signer;

    use super::*;
    use crate::LogFormat;

    #[tokio::test]
    async fn who_commands_agents_on_a_bus_with_keys_has_a_signing_key_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("service-machine-lifecycle.sign");
        SigningFile::make(&path, Signer::MachineLifecycle).expect("made");
        let arguments = CommonArguments {
            nats: "nats://127.0.0.1:9".into(),
            credentials: Some(folder.path().join("service-scheduler.key")),
            insecure_local: false,
            instance: "a".into(),
            http: None,
            requests_per_second: 100,
            requests_burst: 500,
            log_format: LogFormat::Text,
        };
        let refused = async |signing_key| {
            let signing = SigningArguments { signing_key };
            connect_signing(&arguments, &signing, "scheduler").await.expect_err("refused").to_string()
        };
        assert!(refused(None).await.contains("--signing-key FILE"));
        assert!(refused(Some(path)).await.contains("machine-lifecycle; this is scheduler"));
        assert!(refused(Some(folder.path().join("none"))).await.contains("use the signing key"));
    }
}
