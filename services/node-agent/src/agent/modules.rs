//! What test processes say on their socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use muster_bus::Bucket;
use muster_model::ProcessId;
use muster_module_protocol::{ModuleMessage, Vote};
use muster_proto::v1::report;

use super::Agent;
use super::clients::Asked;
use super::errands::Wanted;
use super::syncs::Sync;
use crate::core::life::Event;
use crate::disk::intents::{Final, said_line};
use crate::logs::{Source, Upload};
use crate::module_sockets::ModuleInput;
use crate::names::name_of;
use crate::samples::{Kinds, Subject};
use crate::{beneath, wire, workplace};

impl Agent {
    pub(super) fn module(&mut self, input: ModuleInput) {
        match input {
            ModuleInput::Connected { id, connection } => {
                let Some(process) = self.processes.get_mut(&id).filter(|process| process.life.is_live()) else {
                    tracing::warn!(process = %id, "something says to be a process that does not live here");
                    return self.sockets.fall_silent(connection);
                };
                if let Some(older) = process.connection.replace(connection) {
                    self.sockets.fall_silent(older);
                }
                self.rush.goes_on();
                self.happen(id, Event::Connected);
                self.say_set(id);
                self.say_waiting(id);
            }
            ModuleInput::Asked { connection, id, token, wish } => {
                self.client_asked(connection, Asked { id, token, wish });
            }
            ModuleInput::HolderAsked { connection, is_root, wish } => self.holder_asked(connection, is_root, wish),
            ModuleInput::Said { id, message } => self.module_said(id, message),
            ModuleInput::Closed { id, connection } => {
                let Some(process) = self.processes.get_mut(&id) else { return };
                if process.connection == Some(connection) {
                    process.connection = None;
                    self.pulses.forget(id);
                    self.happen(id, Event::Disconnected);
                }
            }
        }
    }

    fn module_said(&mut self, id: ProcessId, message: ModuleMessage) {
        match message {
            ModuleMessage::Hello { .. }
            | ModuleMessage::Client { .. }
            | ModuleMessage::Holder { .. }
            | ModuleMessage::Ready => {}
            ModuleMessage::Trigger { n, note } => self.trigger_said(id, n, &note),
            ModuleMessage::Crash { note } => self.crash_said(id, &note),
            ModuleMessage::Expect { n, what, within_ms, note } => {
                self.expect_said(id, n, &what, Duration::from_millis(within_ms), &note);
            }
            ModuleMessage::Sync { name, round, vote, timeout_ms, with } => {
                let (name, with, timeout) = (name.as_str(), with.as_slice(), Duration::from_millis(timeout_ms));
                self.sync_said(id, &Sync { name, round, vote: vote == Vote::Yes, timeout, with });
            }
            ModuleMessage::Leave => self.leave_said(id),
            ModuleMessage::StartOn { name, machine, module, parameters, detached, timeout_ms } => {
                let (name, machine, module) = (name.as_str(), machine.as_str(), module.as_str());
                self.start_on_said(id, Wanted { name, machine, module, parameters, detached }, timeout_ms);
            }
            ModuleMessage::AwaitOn { name, timeout_ms } => self.await_on_said(id, &name, timeout_ms),
            ModuleMessage::StopOn { name } => self.stop_on_said(id, &name),
            ModuleMessage::ClockOf { machine, timeout_ms } => self.clock_of_said(id, &machine, timeout_ms),
            ModuleMessage::Emit { name, data } => self.emit_said(id, &name, &data),
            ModuleMessage::Arm { n, action, argument } => self.arm_said(id, n, &action, &argument),
            ModuleMessage::Peer { to, data } => self.peer_said(id, &to, &data),
            ModuleMessage::Pong { n, iterations } => self.pong(id, n, iterations),
            ModuleMessage::Gate { n } => self.gate(id, n),
            ModuleMessage::Metric { device, counters, gauges } => self.metric(id, device, counters, gauges),
            ModuleMessage::Event { name, text } => tracing::info!(process = %id, name, text, "a process says"),
            ModuleMessage::Corruption(corruption) => {
                tracing::warn!(process = %id, target = corruption.target, class = corruption.class, "data were found corrupt");
                self.reports.say(report::Kind::Corruption(wire::corruption_report(id, &corruption)));
            }
            ModuleMessage::Artifact { path, name } => self.artifact(id, &path, &name),
            ModuleMessage::Done { status, result, reason, r#final, text } => {
                let said = wire::said(status, result, &reason);
                self.done(id, said, Final { totals: r#final, text: wire::cut(&text) });
            }
        }
    }

    fn pong(&mut self, id: ProcessId, n: u64, iterations: u64) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.round_trip_us = u32::try_from(process.pinged.elapsed().as_micros()).unwrap_or(u32::MAX);
        }
        if self.is_blocked(id) {
            self.happen(id, Event::Blocked);
        }
        self.happen(id, Event::Pong { n, iterations });
        self.say_set_that_waits(id);
    }

    /// Written before the process is told so: no end of the agent loses a verdict. A repeated done is only answered.
    fn done(&mut self, id: ProcessId, said: crate::core::outcome::Said, r#final: Final) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.life.is_live()) else { return };
        if !process.life.has_said() {
            process.r#final = r#final;
            self.intents.write(said_line(id.into(), &said, &process.r#final));
            self.happen(id, Event::Done(said));
        }
        self.done.push(id);
    }

    fn metric(
        &mut self,
        id: ProcessId,
        device: String,
        counters: BTreeMap<String, f64>,
        gauges: BTreeMap<String, f64>,
    ) {
        let Some(process) = self.processes.get(&id) else { return };
        let (module, inventory) = (process.intent.module.clone(), self.inventory.clone());
        let time = self.connection.clock.now().0;
        let of_device = device.clone();
        let kinds = move || Kinds {
            module,
            device_type: inventory
                .resources
                .iter()
                .find(|r| r.id == of_device)
                .map(|r| r.device_type.clone())
                .unwrap_or_default(),
            machine_type: inventory.machine_type.clone(),
        };
        let full = self.reports.gathered.take(Subject { id: Some(id), device }, kinds, time, counters, gauges);
        if full {
            self.reports.flush_samples(self.identity(), true);
        }
    }

    /// A file of a process is kept, if it is beneath its directory when it is read.
    fn artifact(&mut self, id: ProcessId, path: &str, name: &str) {
        let directory = workplace::directory_of(&self.settings.state, id);
        let path = PathBuf::from(path);
        if let Err(error) = beneath::open_file(&directory, &path) {
            tracing::warn!(process = %id, path = %path.display(), %error, "a file is not kept");
            return;
        }
        let name = format!("{}/{}", name_of(id), wire::cut(name));
        self.uploads.start(Upload { id, source: Source::Own { directory, path }, bucket: Bucket::Artifacts, name });
    }
}
