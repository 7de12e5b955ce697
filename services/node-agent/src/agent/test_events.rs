//! Events of tests: what a process says has happened goes to the scheduler in the batches of reports, so that no end of this agent loses it.

use muster_model::{ProcessId, check_test_event};
use muster_proto::v1::{self, report};

use super::Agent;

impl Agent {
    /// A process says an event. What is none is not carried, and named in the agent's log.
    pub(super) fn emit_said(&mut self, id: ProcessId, name: &str, data: &str) {
        if let Err(why) = check_test_event(name, data) {
            tracing::warn!(process = %id, why, "an event of a test is not carried");
            return;
        }
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch().0;
        let (name, data) = (name.to_owned(), data.to_owned());
        let said = v1::TestEventSaid { id: Some(id.into()), epoch, name, data };
        self.reports.say(report::Kind::TestEvent(said));
    }
}
