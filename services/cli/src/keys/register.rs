//! The register of identities: who belongs to the pool, with which public key. Pure.

use jiff::Timestamp;
use muster_bus::authorization::{self, Admitted};
use muster_bus::permissions::Member;
use muster_bus::{Identity, Role, is_public_key};
use muster_model::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

/// One identity of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Who, and what a person may.
    pub(crate) member: Member,
    /// Public key.
    pub(crate) key: String,
    /// Since when.
    pub(crate) since: Timestamp,
    /// Until when; tokens alone end by themselves.
    pub(crate) until: Option<Timestamp>,
}

/// Everybody who belongs to a pool, by identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Register {
    entries: Vec<Entry>,
}

impl Register {
    /// Everybody, in the order of their identities.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of an identity; none where it does not belong to the pool.
    pub(crate) fn find(&self, identity: &Identity) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.member.identity == *identity)
    }

    /// Nothing, where an identity may be taken in.
    ///
    /// # Errors
    /// Refused where it is there already.
    pub(crate) fn check_absent(&self, identity: &Identity) -> Result<(), Refusal> {
        if self.find(identity).is_none() {
            return Ok(());
        }
        let next =
            format!("`muster admin rotate {identity}` changes its key, `muster admin revoke {identity}` removes it");
        Err(refused(format!("let {identity} in"), "it belongs to the pool already", next))
    }

    /// Nothing, where an identity belongs to the pool.
    ///
    /// # Errors
    /// Refuses `what` where it does not.
    pub(crate) fn check_present(&self, identity: &Identity, what: &str) -> Result<(), Refusal> {
        if self.find(identity).is_some() {
            return Ok(());
        }
        let next = "`muster admin identities` lists who does";
        Err(Refusal::new(RefusalCode::NotFound, what, "it does not belong to the pool", next))
    }

    /// Takes one in.
    ///
    /// # Errors
    /// Refused where the identity is there already, or the key is somebody's.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<(), Refusal> {
        let identity = &entry.member.identity;
        let what = format!("let {identity} in");
        self.check_absent(identity)?;
        if let Some(other) = self.entries.iter().find(|other| other.key == entry.key) {
            let why = format!("its key is that of {}", other.member.identity);
            return Err(refused(what, why, "make another key: everybody has one of their own"));
        }
        self.entries.push(entry);
        self.entries.sort_by(|a, b| a.member.identity.cmp(&b.member.identity));
        Ok(())
    }

    /// Puts one out.
    ///
    /// # Errors
    /// Refused where the identity is not there, or where nobody could let anybody in afterwards.
    pub(crate) fn remove(&mut self, identity: &Identity) -> Result<(), Refusal> {
        let what = format!("revoke {identity}");
        self.check_present(identity, &what)?;
        if *identity == Identity::Operator {
            let next = format!("`muster admin rotate {identity}` changes its key");
            return Err(refused(what, "the servers could not be told of any further change", next));
        }
        let mut others = self.entries.iter().filter(|entry| entry.member.identity != *identity);
        if !others.any(|entry| entry.member.role == Role::Administrator) {
            let next = "let another administrator in first: `muster admin user add NAME --role administrator`";
            return Err(refused(what, "it is the only administrator", next));
        }
        self.entries.retain(|entry| entry.member.identity != *identity);
        Ok(())
    }

    /// Gives an identity another key.
    ///
    /// # Errors
    /// Refused where the identity is not there.
    pub(crate) fn change_key(&mut self, identity: &Identity, key: String, now: Timestamp) -> Result<(), Refusal> {
        self.check_present(identity, &format!("change the key of {identity}"))?;
        for entry in self.entries.iter_mut().filter(|entry| entry.member.identity == *identity) {
            (entry.key, entry.since) = (key.clone(), now);
        }
        Ok(())
    }

    /// Forgets tokens whose time is over.
    pub(crate) fn forget_expired(&mut self, now: Timestamp) {
        self.entries.retain(|entry| entry.until.is_none_or(|until| until > now));
    }

    /// The configuration of the servers.
    pub(crate) fn configuration(&self) -> String {
        let admitted =
            self.entries.iter().map(|entry| Admitted { member: entry.member.clone(), key: entry.key.clone() });
        authorization::configuration(&admitted.collect::<Vec<_>>())
    }

    /// As text.
    pub(crate) fn print(&self) -> anyhow::Result<String> {
        let file = File { identity: self.entries.iter().map(Row::from).collect() };
        Ok(format!("# Who belongs to this pool of Muster. Written by `muster admin`.\n\n{}", toml::to_string(&file)?))
    }

    /// From text.
    ///
    /// # Errors
    /// Says what is no entry.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        let entries = file.identity.into_iter().map(Entry::try_from).collect::<anyhow::Result<_>>()?;
        Ok(Self { entries })
    }
}

fn refused(what: String, why: impl Into<String>, next: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::Refused, what, why, next)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    identity: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    key: String,
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        let Entry { member, key, since, until } = entry;
        let role = matches!(member.identity, Identity::User(_)).then(|| member.role.as_str().to_owned());
        let until = until.map(|until| until.to_string());
        Self { name: member.identity.to_string(), role, key: key.clone(), since: since.to_string(), until }
    }
}

impl TryFrom<Row> for Entry {
    type Error = anyhow::Error;

    fn try_from(row: Row) -> anyhow::Result<Self> {
        let identity: Identity = row.name.parse()?;
        let role = match (&identity, row.role.as_deref()) {
            (Identity::User(_), Some(word)) => Role::parse(word),
            (Identity::User(_), None) => None,
            (_, _) => Some(Role::Viewer),
        };
        let role = role.ok_or_else(|| anyhow::anyhow!("{identity} has no role that there is"))?;
        anyhow::ensure!(is_public_key(&row.key), "the key of {identity} is no public key");
        let until = row.until.map(|until| until.parse()).transpose()?;
        Ok(Self { member: Member { identity, role }, key: row.key, since: row.since.parse()?, until })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use muster_bus::Credentials;

    use super::*;

    static KEYS: LazyLock<[String; 3]> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        ["a", "b", "c"].map(|name| {
            let made = Credentials::make(&folder.path().join(name), Identity::Operator).expect("made");
            made.public_key().expect("it has one")
        })
    });

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn entry(identity: &str, role: Role, key: usize, until: Option<Timestamp>) -> Entry {
        let member = Member { identity: identity.parse().expect("valid"), role };
        Entry { member, key: KEYS[key].clone(), since: at(1), until }
    }

    fn register(entries: Vec<Entry>) -> Register {
        let mut register = Register::default();
        for entry in entries {
            register.add(entry).expect("they are different");
        }
        register
    }

    #[test]
    fn nobody_comes_in_twice_and_no_key_is_shared() {
        let mut pool = register(vec![entry("user/anna", Role::Tester, 0, None)]);
        let before = pool.clone();
        let again = pool.add(entry("user/anna", Role::Owner, 1, None)).expect_err("it is there");
        assert!(again.next.contains("rotate user/anna"), "{again}");
        let shared = pool.add(entry("user/bert", Role::Viewer, 0, None)).expect_err("the key is anna's");
        assert!(shared.why.contains("user/anna"), "{shared}");
        assert_eq!(pool, before, "a refusal changes nothing");
    }

    #[test]
    fn who_is_put_out_is_in_the_configuration_no_more() {
        let mut pool = register(vec![
            entry("user/anna", Role::Administrator, 0, None),
            entry("agent/node-1", Role::Viewer, 1, None),
        ]);
        assert!(pool.configuration().contains(&KEYS[1]));
        pool.remove(&"agent/node-1".parse().expect("valid")).expect("it was there");
        assert!(!pool.configuration().contains(&KEYS[1]) && pool.configuration().contains(&KEYS[0]));
        let gone = pool.remove(&"agent/node-1".parse().expect("valid")).expect_err("it is gone");
        assert_eq!(gone.code, RefusalCode::NotFound);
    }

    #[test]
    fn the_last_administrator_and_the_operator_stay() {
        let mut pool = register(vec![
            entry("user/root", Role::Administrator, 0, None),
            entry("operator/servers", Role::Viewer, 1, None),
        ]);
        assert!(pool.remove(&"user/root".parse().expect("valid")).is_err());
        assert!(pool.remove(&Identity::Operator).is_err());
        pool.add(entry("user/anna", Role::Administrator, 2, None)).expect("another");
        pool.remove(&"user/root".parse().expect("valid")).expect("there is another");
    }

    #[test]
    fn a_token_ends_by_itself() {
        let mut pool = register(vec![entry("enrollment/node-1", Role::Viewer, 0, Some(at(100)))]);
        pool.forget_expired(at(99));
        assert_eq!(pool.entries().len(), 1);
        pool.forget_expired(at(100));
        assert!(pool.entries().is_empty());
    }

    #[test]
    fn the_register_is_read_as_it_was_written_and_nothing_else_is() {
        let pool = register(vec![
            entry("user/anna", Role::Owner, 0, None),
            entry("agent/node-1", Role::Viewer, 1, None),
            entry("enrollment/node-2", Role::Viewer, 2, Some(at(100))),
        ]);
        assert_eq!(Register::parse(&pool.print().expect("printed")).expect("read"), pool);
        let text = pool.print().expect("printed");
        for (good, bad) in [("owner", "king"), (&KEYS[0], "SUAKEY"), ("user/anna", "user/>"), ("since", "sins")] {
            assert!(Register::parse(&text.replace(good, bad)).is_err(), "{bad}");
        }
    }
}
