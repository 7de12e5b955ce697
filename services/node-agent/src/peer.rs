//! Who is at the other end of the module socket: what its hello says, against what it was started as.
//!
//! A process says who it is; one that names another would take that one's place. It is not trusted, but compared with the
//! environment that the leader of its process group, or it itself, was started with. Where nothing is known of that, it is
//! believed.

use muster_model::{Attempt, Dpid, ProcessId, RunId};
use muster_module_protocol::environment;
use rustix::process::{Pid, getpgid};

/// What a process was started as; none where it was not started by an agent, or nobody knows.
pub(crate) fn started_as(pid: i32) -> Option<ProcessId> {
    let pid = Pid::from_raw(pid)?;
    let leader = getpgid(Some(pid)).ok();
    leader.into_iter().chain([pid]).find_map(|pid| {
        let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        parse(&environment)
    })
}

fn parse(environment: &[u8]) -> Option<ProcessId> {
    let value = |name: &str| {
        let variables = environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
        variables
            .filter_map(|variable| variable.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    let dpid: Dpid = value(environment::DPID)?.parse().ok()?;
    Some(ProcessId { run: RunId(number(environment::RUN)?), dpid, attempt: Attempt(number(environment::ATTEMPT)?) })
}

#[cfg(test)]
mod tests {
    use muster_model::{JobNumber, ProcessNumber};

    use super::*;

    #[test]
    fn an_environment_names_its_process_and_others_none() {
        let environment = b"PATH=/bin\0MUSTER_RUN=3\0MUSTER_DPID=00010064\0MUSTER_ATTEMPT=2\0X=\xff\0";
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(100) };
        assert_eq!(parse(environment), Some(ProcessId { run: RunId(3), dpid, attempt: Attempt(2) }));
        assert_eq!(parse(b"MUSTER_RUN=3\0MUSTER_DPID=00010064\0"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(started_as(i32::MAX), None);
    }
}
