//! What each identity may publish and subscribe to: allow-lists, made of the one table of subjects and of what clients of JetStream
//! need. What is not in a list is refused by the server.
//!
//! Two rules hold beside the table. Everyone hears answers in an inbox of their own alone, and may ask the server who they are. And who is not a service never both
//! writes what it likes into a stream and has the server deliver from that stream to where it likes, for the server would then
//! publish in its place; what little of that remains (looking whether a file is there) is caught by [`crate::Bus`], which takes
//! nothing that was delivered from a stream for a message.

use std::collections::BTreeSet;

use muster_model::MachineId;

use crate::connect::WHO_AM_I;
use crate::identity::{FROM_AGENT, INBOX};
use crate::streams::{self, LEASES, PROJECTIONS, REPORTS};
use crate::subjects::{self, Party, Service};
use crate::{Bucket, Identity, Role};

/// The identities of a pool with what they are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub identity: Identity,
    /// What a person may; the others may what they are for.
    pub role: Role,
}

/// Allow-lists of one identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects that it may publish on.
    pub publish: BTreeSet<String>,
    /// Subjects that it may subscribe to, in any queue group.
    pub subscribe: BTreeSet<String>,
}

impl Permissions {
    /// What a member of the pool may.
    #[must_use]
    pub fn of(member: &Member) -> Self {
        let mut lists = Self::default();
        lists.hear([format!("{}.>", member.identity.inbox())]);
        lists.say([WHO_AM_I]);
        lists.add_table(member);
        match &member.identity {
            Identity::Agent(machine) => lists.add_agent(machine),
            Identity::Service(service) => lists.add_service(*service),
            Identity::User(_) => lists.add_people(member.role),
            Identity::Enrollment(_) => {}
            Identity::Operator => lists.say(["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.*.RELOAD"]),
        }
        lists
    }

    fn add_table(&mut self, member: &Member) {
        for rule in subjects::TABLE.iter().flat_map(|row| row.rules) {
            let meant = |parties: &[Party]| parties.iter().find_map(|party| meant_by(*party, member));
            let subject = |machine, identity: &str| rule.subject.replace("<m>", machine).replace("<i>", identity);
            if let Some(machine) = meant(rule.says) {
                self.say([subject(machine, &member.identity.tokens())]);
            }
            if let Some(machine) = meant(rule.hears) {
                self.hear([subject(machine, subjects::EVERY_IDENTITY)]);
            }
        }
    }

    /// An agent answers in its part of everybody's inbox. The server's permission to answer wherever an answer is wanted would be one
    /// to publish anywhere: whoever asks it names that place, and it may ask itself.
    fn add_agent(&mut self, machine: &MachineId) {
        self.say([format!("{INBOX}.*.*.{FROM_AGENT}.{machine}.>")]);
        for bucket in [Bucket::Modules, Bucket::Kernels] {
            self.read_bucket(bucket);
        }
        for bucket in [Bucket::Logs, Bucket::Artifacts] {
            self.write_bucket(bucket);
        }
    }

    fn add_service(&mut self, service: Service) {
        // Services answer everybody, in inboxes and nowhere else: who asks can not make one of them publish on another subject.
        self.say([format!("{INBOX}.>")]);
        for verb in ["PING", "INFO", "STATS"] {
            let name = format!("$SRV.{verb}.muster-{}", service.as_str());
            self.hear([format!("$SRV.{verb}"), format!("{name}.*"), name]);
        }
        if let Some(log) = streams::log_of(service) {
            self.keep_log(service, log);
        }
        match service {
            Service::Scheduler => self.read_stream(REPORTS),
            Service::MachineLifecycle => {
                self.read_stream(REPORTS);
                self.read_bucket(Bucket::Kernels);
                self.write_bucket(Bucket::Artifacts);
            }
            Service::Reservation => {}
            Service::TelemetryLogger => streams::TABLE.iter().for_each(|row| self.read_stream(row.name)),
            Service::Report => self.say(streams::TABLE.iter().map(|row| format!("$JS.API.STREAM.INFO.{}", row.name))),
        }
    }

    /// What the owner of a decision log does beside reading and writing it: lease, projection, snapshots, shortening, and following
    /// the others' logs and looking whether all are those of one system.
    fn keep_log(&mut self, service: Service, log: &str) {
        Service::ALL.into_iter().filter_map(streams::log_of).for_each(|log| self.read_stream(log));
        // Clients ask for the limits of the account before they make a bucket.
        self.say(["$JS.API.INFO"]);
        self.read_stream(&format!("KV_{LEASES}"));
        self.say([format!("$KV.{LEASES}.{}", service.as_str()), format!("$JS.API.STREAM.PURGE.{log}")]);
        self.read_bucket(Bucket::Snapshots);
        self.write_bucket(Bucket::Snapshots);
        for (_, bucket) in PROJECTIONS.iter().filter(|(owner, _)| *owner == service) {
            let stream = format!("KV_{bucket}");
            self.read_stream(&stream);
            self.say(["CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
            self.say([format!("$KV.{bucket}.>")]);
        }
    }

    fn add_people(&mut self, role: Role) {
        self.say(["$SRV.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"]);
        streams::TABLE.iter().for_each(|row| self.read_stream(row.name));
        PROJECTIONS.iter().for_each(|(_, bucket)| self.read_stream(&format!("KV_{bucket}")));
        // `muster doctor` looks whether all stores are there, and how full they are.
        let stores = Bucket::ALL.map(|bucket| format!("OBJ_{}", bucket.as_str())).into_iter();
        self.say(stores.chain([format!("KV_{LEASES}")]).map(|stream| format!("$JS.API.STREAM.INFO.{stream}")));
        self.read_bucket(Bucket::Logs);
        self.read_bucket(Bucket::Artifacts);
        if role >= Role::Tester {
            self.write_bucket(Bucket::Modules);
        }
        if role >= Role::Owner {
            self.write_bucket(Bucket::Kernels);
        }
        if role >= Role::Administrator {
            self.add_administrator();
        }
    }

    /// Makes streams and stores that are missing, empties a lost log, answers machines that present keys.
    fn add_administrator(&mut self) {
        self.say([format!("{INBOX}.enrollment.>"), "$JS.API.STREAM.DELETE.muster-room".into()]);
        let made = streams::TABLE.iter().map(|row| row.name.to_owned());
        let made = made.chain(Bucket::ALL.map(|bucket| format!("OBJ_{}", bucket.as_str())));
        for stream in made.chain([format!("KV_{LEASES}"), "muster-room".to_owned()]) {
            self.say(["INFO", "CREATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
        }
        for service in Service::ALL {
            self.say(streams::log_of(service).map(|log| format!("$JS.API.STREAM.PURGE.{log}")));
        }
        for bucket in Bucket::ALL {
            self.read_bucket(bucket);
            self.write_bucket(bucket);
        }
    }

    fn read_bucket(&mut self, bucket: Bucket) {
        self.read_stream(&format!("OBJ_{}", bucket.as_str()));
    }

    /// Puts files, replaces and deletes them. Who may can destroy what is in the store: replacing takes the old content away.
    fn write_bucket(&mut self, bucket: Bucket) {
        let name = bucket.as_str();
        self.say([
            format!("$JS.API.STREAM.INFO.OBJ_{name}"),
            format!("$JS.API.STREAM.PURGE.OBJ_{name}"),
            format!("$JS.API.DIRECT.GET.OBJ_{name}.$O.{name}.M.*"),
            format!("$O.{name}.C.*"),
            format!("$O.{name}.M.*"),
        ]);
    }

    /// Reads a stream by ordered consumers, and single messages of it.
    fn read_stream(&mut self, stream: &str) {
        self.say([
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.>"),
            format!("$JS.API.CONSUMER.CREATE.{stream}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
            format!("$JS.API.CONSUMER.INFO.{stream}.*"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
            format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
            format!("$JS.FC.{stream}.>"),
        ]);
    }

    fn say<T: Into<String>>(&mut self, subjects: impl IntoIterator<Item = T>) {
        self.publish.extend(subjects.into_iter().map(Into::into));
    }

    fn hear<T: Into<String>>(&mut self, subjects: impl IntoIterator<Item = T>) {
        self.subscribe.extend(subjects.into_iter().map(Into::into));
    }
}

/// What stands for `<m>` where a party of a rule means this member; none where it does not.
fn meant_by(party: Party, member: &Member) -> Option<&str> {
    const EVERY: &str = "*";
    match (party, &member.identity) {
        (Party::Agent, Identity::Agent(machine)) | (Party::Enrollment, Identity::Enrollment(machine)) => {
            Some(machine.as_str())
        }
        (Party::AnyAgent, Identity::Agent(_)) => Some(EVERY),
        (Party::Service(meant), Identity::Service(service)) => (meant == *service).then_some(EVERY),
        (Party::People(least), Identity::User(_)) => (member.role >= least).then_some(EVERY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(identity: &str, role: Role) -> Permissions {
        Permissions::of(&Member { identity: identity.parse().expect("valid"), role })
    }

    #[test]
    fn an_agent_speaks_for_its_own_machine_alone() {
        let permissions = of("agent/node-1", Role::Viewer);
        let own = permissions.publish.iter().filter(|subject| subject.starts_with("muster.v1.agent."));
        assert!(own.clone().count() > 0 && own.clone().all(|subject| subject.starts_with("muster.v1.agent.node-1.")));
        assert!(!permissions.publish.iter().any(|subject| subject.contains("<m>") || subject.ends_with(".jobs")));
    }

    #[test]
    fn each_asks_services_in_its_own_name_alone() {
        for (identity, tokens) in [("agent/node-1", "agent.node-1"), ("user/anna", "user.anna")] {
            let permissions = of(identity, Role::Administrator);
            let mut requests =
                permissions.publish.iter().filter(|subject| subject.starts_with("muster.v1.svc.")).peekable();
            assert!(requests.peek().is_some(), "{identity}");
            for subject in requests.filter(|subject| !subject.ends_with(".replicas")) {
                assert!(subject.ends_with(tokens) && !subject.contains('*'), "{identity} {subject}");
            }
        }
    }

    #[test]
    fn a_higher_role_may_all_that_a_lower_one_may() {
        for pair in Role::ALL.windows(2) {
            let (lower, higher) = (of("user/anna", pair[0]), of("user/anna", pair[1]));
            assert!(lower.publish.is_subset(&higher.publish) && lower.publish != higher.publish, "{pair:?}");
            assert!(lower.subscribe.is_subset(&higher.subscribe), "{pair:?}");
        }
    }

    #[test]
    fn inboxes_are_never_shared() {
        for identity in ["agent/node-1", "service/report", "user/anna", "enrollment/node-1", "operator/servers"] {
            let permissions = of(identity, Role::Administrator);
            let inboxes: Vec<_> = permissions.subscribe.iter().filter(|subject| subject.starts_with(INBOX)).collect();
            assert_eq!(inboxes, [&format!("_INBOX.{}.>", identity.replace('/', "."))]);
        }
    }

    #[test]
    fn nobody_but_a_service_writes_into_a_stream_that_it_reads_by_consumers() {
        let consumes =
            |lists: &Permissions, stream: &str| lists.publish.contains(&format!("$JS.API.CONSUMER.CREATE.{stream}"));
        for (identity, role) in
            [("agent/node-1", Role::Viewer), ("user/anna", Role::Tester), ("user/anna", Role::Owner)]
        {
            let lists = of(identity, role);
            for bucket in Bucket::ALL.map(Bucket::as_str) {
                let writes = lists.publish.contains(&format!("$O.{bucket}.M.*"));
                assert!(!(writes && consumes(&lists, &format!("OBJ_{bucket}"))), "{identity} {role:?} {bucket}");
            }
            let reports = lists.publish.iter().any(|subject| subject.ends_with(".rpt"));
            assert!(!(reports && consumes(&lists, REPORTS)), "{identity} {role:?}");
        }
        assert!(
            of("agent/node-1", Role::Viewer)
                .publish
                .iter()
                .all(|s| !s.contains(streams::TEL) && !s.contains(streams::JOBS))
        );
    }

    #[test]
    fn every_row_of_the_table_has_a_sayer_and_every_pattern_fits_its_row() {
        for row in subjects::TABLE {
            assert!(row.rules.iter().any(|rule| !rule.says.is_empty()), "{}", row.subject);
            let head = row.subject.split('<').next().expect("there is a head");
            assert!(row.rules.iter().all(|rule| rule.subject.starts_with(head)), "{}", row.subject);
        }
    }
}
