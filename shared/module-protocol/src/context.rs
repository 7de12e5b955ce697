//! What a process is told before it begins: environment variables, and the context file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Names of the environment variables of a test process.
pub mod environment {
    /// Path of the agent's Unix socket.
    pub const SOCKET: &str = "MUSTER_SOCKET";
    /// Path of the context file, JSON as [`super::Context`].
    pub const CONTEXT: &str = "MUSTER_CONTEXT";
    /// RunId, decimal.
    pub const RUN: &str = "MUSTER_RUN";
    /// DPID, as printed: `00010064`.
    pub const DPID: &str = "MUSTER_DPID";
    /// Attempt, decimal, from 1.
    pub const ATTEMPT: &str = "MUSTER_ATTEMPT";
    /// Job number, decimal.
    pub const JOB: &str = "MUSTER_JOB";
    /// Process number, decimal.
    pub const PROCESS: &str = "MUSTER_PROCESS";
    /// Module name.
    pub const MODULE: &str = "MUSTER_MODULE";
    /// Machine id.
    pub const MACHINE: &str = "MUSTER_MACHINE";
    /// Boot id of the machine.
    pub const BOOT_ID: &str = "MUSTER_BOOT_ID";
    /// Private work directory; also the current directory at the start.
    pub const WORK: &str = "MUSTER_WORK";
    /// Directory that later attempts on this machine find again.
    pub const STATE: &str = "MUSTER_STATE";
    /// Directory for results that are to be kept.
    pub const RESULTS: &str = "MUSTER_RESULTS";
    /// Seed of this process, 16 hexadecimal digits.
    pub const SEED: &str = "MUSTER_SEED";
    /// Token of this process: who has it may ask for clients in its name.
    pub const TOKEN: &str = "MUSTER_TOKEN";
    /// Path of the machine's pulse page.
    pub const PULSES: &str = "MUSTER_PULSES";
}

/// Where programs of the system are found: `PATH` of whatever is run.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that a process is told; the file that [`environment::CONTEXT`] names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// RunId.
    pub run: u32,
    /// Job number.
    pub job: u32,
    /// Process number.
    pub process: u32,
    /// As printed: `00010064`.
    pub dpid: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Module name.
    pub module: String,
    /// Module version.
    pub version: String,
    /// Machine id.
    pub machine: String,
    /// Boot id of the machine.
    pub boot_id: String,
    /// Seed of this process, 16 hexadecimal digits: a number of 64 bits does not fit JSON's.
    pub seed: String,
    /// Parameters with defaults filled in, in the form in which they were given.
    pub parameters: BTreeMap<String, String>,
    /// Resources that it was placed on.
    pub resources: Vec<ContextResource>,
    /// Its gang; none for a module without gangs.
    #[serde(default)]
    pub gang: Option<ContextGang>,
    /// What comes first when data are wrong: empty or `report` to report and end, `continue` to report and go on, `crash` to have the
    /// machine crash, `trigger 3,7` to fire these, then to report and end.
    #[serde(default)]
    pub on_error: String,
    /// Private work directory.
    pub work: String,
    /// Directory for results that are to be kept.
    pub results: String,
    /// Directory that later attempts on this machine find again; empty where there is none.
    #[serde(default)]
    pub state: String,
    /// Pulses that gate its iterations at its start.
    #[serde(default)]
    pub pulses: Vec<u8>,
    /// Path of the machine's pulse page; empty where there is none.
    #[serde(default)]
    pub pulse_page: String,
}

impl Context {
    /// Where its file lies: in the work directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(&self.work).join("context.json")
    }

    /// The environment that goes with it; `socket` is the agent's.
    #[must_use]
    pub fn environment(&self, socket: &Path) -> BTreeMap<&'static str, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut variables = BTreeMap::from([
            (environment::SOCKET, text(socket)),
            (environment::CONTEXT, text(&self.path())),
            (environment::RUN, self.run.to_string()),
            (environment::DPID, self.dpid.clone()),
            (environment::ATTEMPT, self.attempt.to_string()),
            (environment::JOB, self.job.to_string()),
            (environment::PROCESS, self.process.to_string()),
            (environment::MODULE, self.module.clone()),
            (environment::MACHINE, self.machine.clone()),
            (environment::BOOT_ID, self.boot_id.clone()),
            (environment::WORK, self.work.clone()),
            (environment::RESULTS, self.results.clone()),
            (environment::SEED, self.seed.clone()),
            ("PATH", SYSTEM_PATH.to_owned()),
            ("HOME", self.work.clone()),
            ("LANG", "C.UTF-8".to_owned()),
        ]);
        if !self.state.is_empty() {
            variables.insert(environment::STATE, self.state.clone());
        }
        if !self.pulse_page.is_empty() {
            variables.insert(environment::PULSES, self.pulse_page.clone());
        }
        variables
    }
}

/// A resource of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextResource {
    /// Id on the machine.
    pub id: String,
    /// `cpu`, `disk`, `nic`, `memory`.
    pub kind: String,
    /// Path on the machine; empty for CPUs and memory.
    pub path: String,
    /// Bytes of a disk or of memory, bits per second of a NIC, 0 for a CPU.
    pub size: u64,
    /// Device type.
    pub device_type: String,
}

/// The gang of a process: processes on different machines that know each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextGang {
    /// Number of the gang in its job, from 1.
    pub number: u32,
    /// Role of this process.
    pub role: String,
    /// Every member, this one included, in the order of the module's roles.
    pub members: Vec<ContextMember>,
}

/// A member of a gang as it was placed at the start of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextMember {
    /// Role.
    pub role: String,
    /// DPID, as printed.
    pub dpid: String,
    /// Machine id.
    pub machine: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_its_context_beside_its_work_and_a_pulse_page_where_there_is_one() {
        let mut context = Context {
            run: 3,
            job: 1,
            process: 100,
            dpid: "00010064".into(),
            attempt: 2,
            module: "idle".into(),
            version: "1".into(),
            machine: "node-1".into(),
            boot_id: "b".into(),
            seed: "00000000000000ff".into(),
            parameters: BTreeMap::new(),
            resources: Vec::new(),
            gang: None,
            on_error: String::new(),
            work: "/w".into(),
            results: "/w/results".into(),
            state: "/s".into(),
            pulses: Vec::new(),
            pulse_page: String::new(),
        };
        let variables = context.environment(Path::new("/s"));
        let told = [environment::SOCKET, environment::CONTEXT, environment::DPID, "HOME"].map(|name| &variables[name]);
        assert_eq!(told, ["/s", "/w/context.json", "00010064", "/w"]);
        assert!(!variables.contains_key(environment::PULSES));
        context.pulse_page = "/p".into();
        assert_eq!(context.environment(Path::new("/s"))[environment::PULSES], "/p");
    }
}
