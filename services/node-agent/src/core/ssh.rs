//! What stands in files of ssh: the section of authorized_keys that is ours, and who may log in while nobody holds the machine.

/// First line of our section of authorized_keys.
const BEGIN: &str = "# muster begins: the key of who holds this machine, until they do not";
/// Last line of it.
const END: &str = "# muster ends";

/// The text of authorized_keys with this key in our section, or without our section. Nothing else of it changes.
pub(crate) fn with_key(text: &str, key: Option<&str>) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if line.trim_end() != BEGIN {
            kept.push_str(line);
            continue;
        }
        // Somebody may have taken the last line away: then only the key goes with the first.
        let has_end = lines.clone().any(|line| line.trim_end() == END);
        for line in lines.by_ref() {
            if !has_end || line.trim_end() == END {
                break;
            }
        }
    }
    let Some(key) = key else { return kept };
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    format!("{kept}{BEGIN}\n{key}\n{END}\n")
}

/// The drop-in for sshd: while nobody holds the machine, only this group may log in.
pub(crate) fn drop_in(group: &str, is_held: bool) -> String {
    let head = "# Written by Muster's agent, and written again when the machine changes hands.\n";
    if is_held { head.to_owned() } else { format!("{head}AllowGroups {group}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_and_goes_and_all_else_stays() {
        for text in ["", "ssh-rsa AAAA own\n", "ssh-rsa AAAA own", "a\n\n# b\nc\n"] {
            let with = with_key(text, Some("ssh-ed25519 BBBB anna"));
            assert!(with.contains("\nssh-ed25519 BBBB anna\n"), "{with}");
            assert_eq!(with_key(&with, Some("ssh-ed25519 BBBB anna")), with, "once more changes nothing");
            let other = with_key(&with, Some("ssh-ed25519 CCCC ben"));
            assert!(!other.contains("anna") && other.contains("ben"));
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            assert_eq!(with_key(&other, None), format!("{text}{newline}"));
        }
    }

    #[test]
    fn a_section_that_was_cut_takes_nothing_of_others_with_it() {
        let text = format!("own\n{BEGIN}\nssh-ed25519 BBBB anna\nother\n");
        assert_eq!(with_key(&text, None), "own\nother\n");
        let twice = format!("{BEGIN}\nx\n{END}\nown\n{BEGIN}\ny\n{END}\n");
        assert_eq!(with_key(&twice, None), "own\n");
    }

    #[test]
    fn only_administrators_log_in_while_nobody_holds_it() {
        assert!(drop_in("lab-admins", false).ends_with("\nAllowGroups lab-admins\n"));
        assert!(!drop_in("lab-admins", true).contains("AllowGroups"));
    }
}
