//! How closed containers are: asked of docker, and seen from inside.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::pool::Pool;

/// A seed of a key of NATS is so long at least.
const SEED_CHARACTERS_MIN: usize = 50;

/// Every container that runs: nobody is root or may become it, nothing may be written outside of volumes, no secret is told by docker.
///
/// # Errors
/// Says which container is not.
pub(super) fn closed(pool: &Pool<'_>) -> anyhow::Result<()> {
    let password = pool.engine.docker_ok(&["exec", &pool.container("postgres")?, "cat", "/run/postgres/password"])?;
    ensure!(password.trim().len() >= 32, "the password of PostgreSQL is too short");
    let running = pool.running()?;
    ensure!(running.len() >= 11, "only these containers run: {}", running.join(", "));
    for container in &running {
        let told: Value =
            serde_json::from_str(&pool.inspect(container, "{{json .}}")?).context("read docker's answer")?;
        from_outside(&told).with_context(|| format!("look at {container}"))?;
        let text = told.to_string();
        ensure!(!text.contains(password.trim()) && !has_seed(&text), "{container}: docker tells a secret of it");
        from_inside(&pool.engine.docker_ok(&["exec", container, "cat", "/proc/1/status"])?)
            .with_context(|| format!("look into {container}"))?;
    }
    Ok(())
}

fn from_outside(told: &Value) -> anyhow::Result<()> {
    let host = &told["HostConfig"];
    let user = told["Config"]["User"].as_str().unwrap_or_default();
    ensure!(!["", "0", "root"].contains(&user), "its user is {user:?}");
    ensure!(host["ReadonlyRootfs"] == true, "its root file system can be written to");
    ensure!(host["Privileged"] == false, "it is privileged");
    ensure!(host["CapDrop"] == serde_json::json!(["ALL"]), "it keeps capabilities");
    let published = host["PortBindings"].as_object().into_iter().flat_map(|ports| ports.values());
    let addresses = published.flat_map(|port| port.as_array().into_iter().flatten()).map(|port| &port["HostIp"]);
    for address in addresses {
        ensure!(address == "127.0.0.1", "it is published on {address}");
    }
    Ok(())
}

fn from_inside(status: &str) -> anyhow::Result<()> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let users = field("Uid:");
    ensure!(
        !users.is_empty() && users.split_whitespace().all(|user| user != "0"),
        "its first process is root: {users}"
    );
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
        ensure!(field(set).trim_start_matches('0').is_empty() && !field(set).is_empty(), "it has {set} {}", field(set));
    }
    ensure!(field("NoNewPrivs:") == "1", "it may gain privileges");
    Ok(())
}

/// Whether a text holds what may be the seed of a key.
fn has_seed(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        let upper = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        word.len() >= SEED_CHARACTERS_MIN && upper && word.starts_with('S')
    })
}

/// Who has no business with PostgreSQL does not reach it, and a service has no key but its own.
///
/// # Errors
/// Says who sees too much.
pub(super) fn apart(pool: &Pool<'_>) -> anyhow::Result<()> {
    let networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = pool.inspect(&pool.container("postgres")?, networks)?;
    let attempt = format!("exec 3<>/dev/tcp/{address}/5432");
    let reaches = |service: &str| {
        let container = pool.container(service)?;
        anyhow::Ok(pool.engine.docker_ok(&["exec", &container, "timeout", "3", "bash", "-c", &attempt]).is_ok())
    };
    ensure!(reaches("report")?, "the report service does not reach PostgreSQL at {address}");
    for service in ["node-1", "scheduler"] {
        ensure!(!reaches(service)?, "{service} reaches PostgreSQL");
    }
    let scheduler = pool.container("scheduler")?;
    let seen = pool.engine.docker_ok(&["exec", &scheduler, "find", "/run/muster", "/var/lib/muster", "-type", "f"])?;
    let files: Vec<&str> = seen.lines().collect();
    let own = files.iter().all(|file| file.starts_with("/run/muster/service-scheduler."));
    ensure!(own && !files.is_empty(), "the scheduler sees these keys: {files:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_tells_is_searched_for_seeds() {
        assert!(has_seed(r#"{"Env":["KEY=SUACEQFIKVGZYMOPE6UZXHYQ7JLGDBQ2LVV7QGJKTLEY6XQVEFNQIDRGQE"]}"#));
        assert!(!has_seed(
            r#"{"Id":"97d21236c281e751e21e0b46ee140b7456b99ca6468a06b24a70f191d8f5ca55","Path":"SUPER"}"#
        ));
    }

    #[test]
    fn an_open_container_is_found() {
        let closed = "Uid:\t10001\t10001\nCapPrm:\t0000\nCapEff:\t0000\nCapBnd:\t0000\nCapAmb:\t0000\nNoNewPrivs:\t1\n";
        from_inside(closed).expect("it is closed");
        for (from, to) in [("10001\t10001", "10001\t0"), ("CapBnd:\t0000", "CapBnd:\t0400"), ("Privs:\t1", "Privs:\t0")]
        {
            assert!(from_inside(&closed.replace(from, to)).is_err(), "{to}");
        }
        assert!(from_inside("").is_err());
    }
}
