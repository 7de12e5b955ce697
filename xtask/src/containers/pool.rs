//! A pool of compose.yaml: brought up by docker-compose, looked at and commanded by `muster` from the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_testkit::{Client, wait_until};
use serde_json::Value;

use super::engine::{Engine, judged, tail};

/// Everything settles within this, on a machine that is busy with other tests.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
/// The one-shot that ends once four machines take part and the modules are there.
const LAST: &str = "demo";

/// How a pool is brought up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Name of the project, which is in the names of its containers.
    pub(super) project: &'static str,
    /// Options of docker-compose.
    pub(super) options: &'static [&'static str],
    /// Where its servers are published on the host.
    pub(super) nats: &'static str,
}

/// A process of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its machine.
    pub(super) machine: String,
    /// Its state.
    pub(super) state: String,
    /// Its process id in its container.
    pub(super) pid: u64,
}

/// Processes of a job by DPID.
pub(super) type Rows = BTreeMap<String, Row>;

/// A pool that is up.
pub(super) struct Pool<'a> {
    pub(super) engine: &'a Engine,
    setting: Setting,
    program: PathBuf,
    client: Client,
}

impl<'a> Pool<'a> {
    /// Brings one up, tries it, and ends it.
    ///
    /// # Errors
    /// Says what did not come up, or was not as it is to be, with the ends of all logs.
    pub(super) fn tried(
        engine: &'a Engine,
        programs: &Path,
        setting: Setting,
        trial: impl FnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let pool = Self::up(engine, programs, setting)?;
        trial(&pool).with_context(|| pool.tails())?;
        pool.down()
    }

    /// Brings one up, and waits until its machines take part.
    fn up(engine: &'a Engine, programs: &Path, setting: Setting) -> anyhow::Result<Self> {
        let environment = BTreeMap::from([("MUSTER_NATS".to_owned(), setting.nats.to_owned())]);
        let client = Client { program: "nsenter".into(), environment };
        let mut pool = Self { engine, setting, program: programs.join("muster"), client };
        pool.bring_up().with_context(|| pool.tails())?;
        let file = pool.fetch_credentials()?;
        pool.client.environment.insert("MUSTER_CREDENTIALS".into(), file.to_string_lossy().into_owned());
        Ok(pool)
    }

    fn bring_up(&self) -> anyhow::Result<()> {
        self.compose(&["up", "--detach", "--no-build"])?;
        let container = self.container(LAST)?;
        let state = || self.inspect(&container, "{{.State.Status}} {{.State.ExitCode}}");
        let ended = || state().is_ok_and(|state| state.starts_with("exited"));
        wait_until("the machines take part and the modules are there", LIMIT, ended)?;
        ensure!(state()? == "exited 0", "{LAST} failed");
        Ok(())
    }

    /// What docs/install.md says: the administrator's key comes out of its volume by a container.
    fn fetch_credentials(&self) -> anyhow::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let file = self.engine.directory().join(format!("{}.key", self.setting.project));
        let key = "/var/lib/muster/keys/user-admin.key";
        let text = self.compose(&["run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "muster", key])?;
        std::fs::write(&file, text).context("write the administrator's key")?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).context("close the key")?;
        Ok(file)
    }

    /// Ends it, and removes its data.
    ///
    /// # Errors
    /// When something of it is left.
    pub(super) fn down(self) -> anyhow::Result<()> {
        self.compose(&["down", "--volumes", "--timeout", "5"])?;
        let project = format!("label=com.docker.compose.project={}", self.setting.project);
        for what in [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]] {
            let left = self.engine.docker_ok(&[what, &["--quiet", "--filter", &project]].concat())?;
            ensure!(left.trim().is_empty(), "`docker {}` shows what is left: {left}", what.join(" "));
        }
        Ok(())
    }

    /// Runs docker-compose on compose.yaml as it is, and returns what it printed.
    fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.engine.client("docker-compose");
        command.args(["--project-name", self.setting.project]).args(self.setting.options).args(arguments);
        judged(command.output().context("run docker-compose")?, &format!("docker-compose {}", arguments.join(" ")))
    }

    /// The container of a service.
    ///
    /// # Errors
    /// When there is not one.
    pub(super) fn container(&self, service: &str) -> anyhow::Result<String> {
        let listed = self.list(&["--all", "--filter", &format!("label=com.docker.compose.service={service}")])?;
        ensure!(listed.len() == 1, "find the container of {service}: there are {}", listed.len());
        Ok(listed[0].clone())
    }

    /// Every container that runs.
    pub(super) fn running(&self) -> anyhow::Result<Vec<String>> {
        self.list(&[])
    }

    fn list(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let project = format!("label=com.docker.compose.project={}", self.setting.project);
        let all = [&["ps", "--format", "{{.Names}}", "--filter", &project], arguments].concat();
        Ok(self.engine.docker_ok(&all)?.lines().map(str::to_owned).collect())
    }

    /// What docker knows of a container.
    pub(super) fn inspect(&self, container: &str, format: &str) -> anyhow::Result<String> {
        Ok(self.engine.docker_ok(&["inspect", "--format", format, container])?.trim().to_owned())
    }

    /// Kills the first process of a service, and waits until its container runs again by itself.
    ///
    /// # Errors
    /// When it does not come back.
    pub(super) fn crash(&self, service: &str) -> anyhow::Result<()> {
        let container = self.container(service)?;
        let runs = || self.inspect(&container, "{{.State.Running}} {{.State.StartedAt}}");
        let before = runs()?;
        self.engine.crash(&container)?;
        let again = || runs().is_ok_and(|now| now != before && now.starts_with("true"));
        wait_until(&format!("{service} runs again"), LIMIT, again)
    }

    /// Cuts the container of a service off the bus, or lets it back.
    ///
    /// # Errors
    /// When docker refuses.
    pub(super) fn set_cut(&self, service: &str, cut: bool) -> anyhow::Result<()> {
        let (network, container) = (format!("{}_bus", self.setting.project), self.container(service)?);
        if cut {
            self.engine.docker_ok(&["network", "disconnect", &network, &container])?;
        } else {
            self.engine.docker_ok(&["network", "connect", "--alias", service, &network, &container])?;
        }
        Ok(())
    }

    /// Runs `muster` on the host, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(super) fn muster(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.client.ok(&self.on_the_host(arguments, &self.engine.in_its_network()))
    }

    /// The same with `--output json`.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub(super) fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.client.json(&self.on_the_host(arguments, &self.engine.in_its_network()))
    }

    fn on_the_host<'b>(&'b self, arguments: &[&'b str], network: &'b str) -> Vec<&'b str> {
        let program = self.program.to_str().unwrap_or("muster");
        [&[network, program], arguments].concat()
    }

    /// Starts a job and waits until all of its processes run; gives its number.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn start(&self, module: &str, processes: u32, parameters: &[&str]) -> anyhow::Result<String> {
        let processes = processes.to_string();
        let mut arguments = vec!["start", module, "--processes", &processes, "--wait"];
        arguments.extend(parameters.iter().flat_map(|parameter| ["--param", parameter]));
        let job = self.json(&arguments)?[0]["job"].as_u64().context("read the number of a job")?;
        Ok(job.to_string())
    }

    /// The processes of a job, ended ones too.
    ///
    /// # Errors
    /// When nobody answers.
    pub(super) fn processes(&self, job: &str) -> anyhow::Result<Rows> {
        let listed = self.json(&["ps", "--all", "--job", job])?;
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let rows = listed.as_array().context("read the processes")?.iter().map(|row| {
            let pid = row["pid"].as_u64().unwrap_or_default();
            (text(row, "dpid"), Row { machine: text(row, "machine"), state: text(row, "state"), pid })
        });
        Ok(rows.collect())
    }

    /// Waits until the processes of a job are as `wanted`.
    ///
    /// # Errors
    /// When they are not, with what they are.
    pub(super) fn wait_processes(&self, job: &str, what: &str, wanted: &Rows) -> anyhow::Result<()> {
        let mut seen = Rows::new();
        let came = wait_until(what, LIMIT, || {
            seen = self.processes(job).unwrap_or_default();
            seen == *wanted
        });
        came.with_context(|| format!("the processes of job {job} are {seen:?}"))
    }

    /// Waits until a machine is in one of these states of health.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn wait_health(&self, machine: &str, wanted: &[&str]) -> anyhow::Result<()> {
        wait_until(&format!("{machine} is {}", wanted.join(" or ")), LIMIT, || {
            let listed = self.json(&["machine", "list"]).unwrap_or_default();
            let mut rows = listed.as_array().into_iter().flatten();
            rows.any(|row| row["machine"] == machine && wanted.iter().any(|health| row["health"] == *health))
        })
    }

    /// The ends of the logs of all containers, for error messages.
    pub(super) fn tails(&self) -> String {
        let all = self.list(&["--all"]).unwrap_or_default();
        let told = |container: &String| {
            let mut command = self.engine.client("docker");
            let output = command.args(["logs", "--tail", "15", container]).output();
            let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
            format!("--- {container}\n{}\n", tail(&String::from_utf8_lossy(&said)))
        };
        all.iter().map(told).collect()
    }
}
