//! This center among the others: its id, and what it wants of the mastership.

use std::sync::Mutex;

use muster_proto::v1;

use super::status::Standing;

/// Longest name of a machine in an id.
const MACHINE_NAME_MAX: usize = 40;

/// One command center, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Seat {
    /// `<machine>-<pid>-<8 hexadecimal digits>`.
    pub(crate) id: String,
    /// Name of the machine that it runs on, for people.
    pub(crate) machine: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// It becomes master by itself when nobody is; not after its person gave it up.
    wants: bool,
    standing: Standing,
}

impl Seat {
    pub(crate) fn new() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let machine: String = name.chars().filter(legal).take(MACHINE_NAME_MAX).collect();
        let random = uuid::Uuid::new_v4().as_fields().0;
        let id = format!("{machine}-{}-{random:08x}", std::process::id());
        Self { id, machine, inner: Mutex::new(Inner { wants: true, standing: Standing::Unknown }) }
    }

    /// Notes what the person said: whether this center is to be master.
    pub(crate) fn wish(&self, wants: bool) {
        self.lock().wants = wants;
    }

    /// Takes the scheduler's word; says whether the mastership is to be taken now.
    pub(crate) fn hear(&self, master: Option<&v1::Master>) -> bool {
        let mut inner = self.lock();
        inner.standing = match master {
            None => Standing::Nobody,
            Some(master) if master.center == self.id => Standing::Mine,
            Some(master) => Standing::Other(described(master)),
        };
        inner.wants && inner.standing == Standing::Nobody
    }

    /// The scheduler did not answer.
    pub(crate) fn hear_nothing(&self) {
        self.lock().standing = Standing::Unknown;
    }

    pub(crate) fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }
}

/// `anna on desk-1`.
fn described(master: &v1::Master) -> String {
    let who = master.actor.strip_prefix("user:").unwrap_or(&master.actor);
    crate::exit::one_line(&format!("{who} on {}", master.machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(center: &str) -> v1::Master {
        v1::Master { center: center.into(), actor: "user:bert".into(), machine: "desk-2".into(), since_ns: 1 }
    }

    #[test]
    fn a_center_takes_what_nobody_has_until_its_person_gives_it_up() {
        let seat = Seat::new();
        assert!(seat.hear(None));
        assert!(!seat.hear(Some(&master("another"))));
        assert_eq!(seat.standing(), Standing::Other("bert on desk-2".into()));
        assert!(seat.hear(None), "the other has ended");
        assert!(!seat.hear(Some(&master(&seat.id))));
        assert_eq!(seat.standing(), Standing::Mine);
        seat.wish(false);
        assert!(!seat.hear(None));
        assert_eq!(seat.standing(), Standing::Nobody);
        seat.wish(true);
        assert!(seat.hear(None));
    }
}
