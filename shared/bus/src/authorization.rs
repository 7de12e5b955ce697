//! The part of a server's configuration that says who may connect and what each may: users by their public keys, with allow-lists.
//!
//! Pure: where it is kept and how a server is made to read it again is not decided here (`muster admin`, system.rs).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Identity;
use crate::permissions::{Member, Permissions};

/// A member of the pool, by the key that servers know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who, and what a person may.
    pub member: Member,
    /// Public key.
    pub key: String,
}

/// The configuration, to be included in that of each server of the pool.
///
/// Members are users of the global account, so a pool that ran without identities keeps its streams. The operator alone is in the
/// account of the system.
#[must_use]
pub fn configuration(admitted: &[Admitted]) -> String {
    let mut text = String::from(
        "# Who may connect to this pool of Muster, and what each may say and hear. Written by `muster admin`: changes are lost.\n\
         authorization {\n  timeout: 5\n  users: [\n",
    );
    let (operators, members): (Vec<_>, Vec<_>) =
        admitted.iter().partition(|one| one.member.identity == Identity::Operator);
    members.iter().for_each(|one| add_user(&mut text, one, "    "));
    text.push_str("  ]\n}\naccounts {\n  $SYS {\n    users: [\n");
    operators.iter().for_each(|one| add_user(&mut text, one, "      "));
    text.push_str("    ]\n  }\n}\n");
    text
}

fn add_user(text: &mut String, admitted: &Admitted, indent: &str) {
    let permissions = Permissions::of(&admitted.member);
    let _ = writeln!(text, "{indent}# {}", admitted.member.identity);
    let _ = write!(text, "{indent}{{ nkey: {}, permissions: {{ ", admitted.key);
    let _ = write!(text, "publish: {{ allow: [{}] }}, ", list(&permissions.publish));
    let _ = writeln!(text, "subscribe: {{ allow: [{}] }} }} }}", list(&permissions.subscribe));
}

fn list(subjects: &BTreeSet<String>) -> String {
    subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn admitted(identity: &str) -> Admitted {
        let member = Member { identity: identity.parse().expect("valid"), role: Role::Viewer };
        Admitted { member, key: format!("U{}", identity.to_uppercase().replace(['/', '-'], "")) }
    }

    #[test]
    fn the_operator_alone_is_in_the_account_of_the_system() {
        let text = configuration(&[admitted("operator/servers"), admitted("user/anna"), admitted("agent/node-1")]);
        let (pool, system) = text.split_once("accounts {").expect("two parts");
        assert!(pool.contains("nkey: UUSERANNA,") && pool.contains("nkey: UAGENTNODE1,") && !pool.contains("OPERATOR"));
        assert!(system.contains("nkey: UOPERATORSERVERS,") && !system.contains("UUSERANNA"));
        assert!(!text.contains("allow_responses"), "nobody answers wherever who asks wants it");
    }
}
