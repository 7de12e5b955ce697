//! docs/permissions.md: what each identity may say and hear, as the servers enforce it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use muster_bus::permissions::{Member, Permissions};
use muster_bus::subjects::Service;
use muster_bus::{Identity, Role};

use crate::generate::NOTE;

const HEAD: &str = "What is not listed is refused by the server. `node-1` stands for the machine of an agent or a token, `anna` for a person. \
    Everybody hears answers in an inbox of their own, and nobody else's; each agent answers in a part of it that is for its machine alone.\n";

/// docs/permissions.md.
#[must_use]
pub fn permissions_markdown() -> String {
    let mut page = format!("# Permissions\n\n{NOTE} permissions` prints this page -->\n\n{HEAD}");
    let services = Service::ALL.map(|service| format!("service/{}", service.as_str()));
    for identity in
        ["agent/node-1", "enrollment/node-1", "operator/servers"].into_iter().chain(services.iter().map(String::as_str))
    {
        let permissions = of(identity, Role::Viewer);
        let _ = write!(page, "\n## {identity}\n{}", lists(&permissions.publish, &permissions.subscribe));
    }
    let mut before = Permissions::default();
    for role in Role::ALL {
        let permissions = of("user/anna", role);
        let more = |now: &BTreeSet<String>, then: &BTreeSet<String>| now.difference(then).cloned().collect();
        let publish = more(&permissions.publish, &before.publish);
        let subscribe = more(&permissions.subscribe, &before.subscribe);
        let beside = if role == Role::Viewer { "" } else { ", beside what the roles before it may" };
        let _ = write!(page, "\n## user/anna as {}{beside}\n{}", role.as_str(), lists(&publish, &subscribe));
        before = permissions;
    }
    page
}

fn of(identity: &str, role: Role) -> Permissions {
    let identity: Identity = identity.parse().expect("it is written above");
    Permissions::of(&Member { identity, role })
}

fn lists(publish: &BTreeSet<String>, subscribe: &BTreeSet<String>) -> String {
    let list = |subjects: &BTreeSet<String>| {
        let quoted: Vec<_> = subjects.iter().map(|subject| format!("`{subject}`")).collect();
        if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
    };
    format!("Publishes on: {}.\n\nSubscribes to: {}.\n", list(publish), list(subscribe))
}
