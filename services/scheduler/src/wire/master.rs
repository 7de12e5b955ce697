//! Which command center is master.

use muster_model::{PoolTime, Refusal, RefusalCode};
use muster_proto::{WireError, v1};

use crate::core::Input;
use crate::core::limits::CENTER_TEXT_MAX;
use crate::core::master::{CenterId, ChangeMaster, Master, MasterChanged, MasterReason, MasterWish};

impl From<&Master> for v1::Master {
    fn from(master: &Master) -> Self {
        Self {
            center: master.center.to_string(),
            actor: master.actor.clone(),
            machine: master.machine.clone(),
            since_ns: master.since.0,
        }
    }
}

impl TryFrom<v1::Master> for Master {
    type Error = WireError;
    fn try_from(master: v1::Master) -> Result<Self, WireError> {
        let center = CenterId::new(&master.center);
        Ok(Self {
            center: center.ok_or_else(|| WireError::invalid("Master", "center", &master.center))?,
            actor: master.actor,
            machine: master.machine,
            since: PoolTime(master.since_ns),
        })
    }
}

impl From<&MasterChanged> for v1::MasterChanged {
    fn from(changed: &MasterChanged) -> Self {
        Self { master: changed.master.as_ref().map(Into::into), reason: changed.reason.as_str().to_owned() }
    }
}

impl TryFrom<v1::MasterChanged> for MasterChanged {
    type Error = WireError;
    fn try_from(changed: v1::MasterChanged) -> Result<Self, WireError> {
        let reason = MasterReason::ALL.into_iter().find(|reason| reason.as_str() == changed.reason);
        Ok(Self {
            reason: reason.ok_or_else(|| WireError::invalid("MasterChanged", "reason", &changed.reason))?,
            master: changed.master.map(TryInto::try_into).transpose()?,
        })
    }
}

/// The center that a command was given in; none for everything else.
pub(super) fn center(text: &str) -> Result<Option<CenterId>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    CenterId::new(text).map(Some).ok_or_else(|| {
        let why = "the id of its command center is not 1 to 64 letters, digits, `.`, `_` and `-`";
        Refusal::new(RefusalCode::Invalid, "take a command", why, "use a `muster` of the same version as the scheduler")
    })
}

/// What a center wants of the mastership.
pub(super) fn change(change: v1::ChangeMaster, center: Option<CenterId>, actor: &str) -> Result<Input, Refusal> {
    let Some(center) = center else {
        let what = if change.release { "release the mastership" } else { "take the mastership" };
        let why = "only a command center can be master";
        return Err(Refusal::new(RefusalCode::Refused, what, why, "`muster` without arguments is one"));
    };
    let wish = match (change.release, change.take_over) {
        (true, _) => MasterWish::Release,
        (false, true) => MasterWish::TakeOver,
        (false, false) => MasterWish::Take,
    };
    let machine = change.machine.chars().filter(|c| !c.is_control()).take(CENTER_TEXT_MAX).collect();
    Ok(Input::ChangeMaster(ChangeMaster { center, actor: actor.to_owned(), machine, wish }))
}
