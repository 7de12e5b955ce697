//! The gang of a process: who its members are, where, and whose words may reach it.

use muster_model::{MachineId, ProcessId};

/// One member of a gang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: ProcessId,
    /// Its role, by name.
    pub role: String,
    /// Where it is.
    pub machine: MachineId,
}

/// A gang, as the newest order of one of its members says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gang {
    /// Number in its job, from 1.
    pub number: u32,
    /// Role of the process that was ordered, by name.
    pub role: String,
    /// Every member, in the order of the module's roles.
    pub members: Vec<Member>,
}

impl Gang {
    /// The members that words of `from` go to: those of a role, or every other one.
    pub(crate) fn addressed<'a>(&'a self, from: ProcessId, role: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members
            .iter()
            .filter(move |member| member.id.dpid != from.dpid && (role.is_empty() || member.role == role))
    }

    /// The member with this number, whatever its attempt.
    pub(crate) fn member(&self, id: ProcessId) -> Option<&Member> {
        self.members.iter().find(|member| (member.id.run, member.id.dpid) == (id.run, id.dpid))
    }

    /// The sender of words, if it is the attempt that this gang knows, on the machine where it was placed.
    pub(crate) fn sender(&self, from: ProcessId, machine: &str) -> Option<&Member> {
        self.member(from).filter(|member| member.id == from && member.machine.as_str() == machine)
    }
}

/// The machine whose agent an envelope's source names: `agent/node-1`.
pub(crate) fn agent_of_source(source: &str) -> Option<&str> {
    source.strip_prefix("agent/")
}

#[cfg(test)]
mod tests {
    use muster_model::{Attempt, Dpid, JobNumber, ProcessNumber, RunId};

    use super::*;

    fn id(process: u32, attempt: u32) -> ProcessId {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(process) };
        ProcessId { run: RunId(1), dpid, attempt: Attempt(attempt) }
    }

    fn gang() -> Gang {
        let member = |process, role: &str, machine| Member {
            id: id(process, 2),
            role: role.into(),
            machine: MachineId::new(machine).unwrap(),
        };
        let members = vec![member(1, "server", "m-1"), member(2, "client", "m-2"), member(3, "client", "m-3")];
        Gang { number: 1, role: "client".into(), members }
    }

    #[test]
    fn words_go_to_a_role_or_to_everybody_else() {
        let gang = gang();
        let to = |from, role| -> Vec<u32> {
            gang.addressed(id(from, 2), role).map(|member| member.id.dpid.process.0).collect()
        };
        assert_eq!(to(2, "server"), [1]);
        assert_eq!(to(2, "client"), [3]);
        assert_eq!(to(2, ""), [1, 3]);
        assert!(to(2, "nobody").is_empty());
    }

    #[test]
    fn only_a_member_of_the_known_attempt_on_its_machine_is_a_sender() {
        let gang = gang();
        assert!(gang.sender(id(1, 2), "m-1").is_some());
        assert!(gang.sender(id(1, 1), "m-1").is_none(), "an attempt that is over");
        assert!(gang.sender(id(1, 2), "m-2").is_none(), "another machine's agent");
        assert!(gang.sender(id(4, 2), "m-1").is_none(), "no member");
        assert!(gang.sender(ProcessId { run: RunId(2), ..id(1, 2) }, "m-1").is_none(), "another run");
        assert!(gang.member(id(1, 9)).is_some(), "whom words go to is named by number alone");
    }

    #[test]
    fn only_an_agent_is_named_as_one() {
        assert_eq!(agent_of_source("agent/m-1"), Some("m-1"));
        assert_eq!(agent_of_source("scheduler/a"), None);
    }
}
