//! What stands in files of ssh: the section of authorized_keys that is ours, who may log in while nobody holds the machine, and which key a
//! session was opened with.

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

/// The key in our section; none where there is no whole section.
pub(crate) fn installed_key(text: &str) -> Option<&str> {
    let mut lines = text.lines().skip_while(|line| line.trim_end() != BEGIN).skip(1);
    let key = lines.next().filter(|line| line.trim_end() != END)?;
    lines.any(|line| line.trim_end() == END).then_some(key)
}

/// Whether a session was opened with a key, by what sshd says of the session: `publickey ssh-ed25519 AAAA`, a line for each method.
pub(crate) fn opened_with(said: &str, key: &str) -> bool {
    let mut wanted = key.split_ascii_whitespace().take(2);
    let (Some(kind), Some(blob)) = (wanted.next(), wanted.next()) else { return false };
    said.lines().any(|line| line.split_ascii_whitespace().eq(["publickey", kind, blob]))
}

/// The drop-in for sshd: while nobody holds the machine, only this group may log in, where there is one; and each session is told which key it
/// was opened with, where there are keys of holders.
pub(crate) fn drop_in(group: Option<&str>, has_keys: bool, is_held: bool) -> String {
    let head = "# Written by Muster's agent, and written again when the machine changes hands.\n";
    let keys = if has_keys { "ExposeAuthInfo yes\n" } else { "" };
    let group = group.filter(|_| !is_held).map(|group| format!("AllowGroups {group}\n")).unwrap_or_default();
    format!("{head}{keys}{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_and_goes_and_all_else_stays() {
        for text in ["", "ssh-rsa AAAA own\n", "ssh-rsa AAAA own", "a\n\n# b\nc\n"] {
            let with = with_key(text, Some("ssh-ed25519 BBBB anna"));
            assert_eq!((installed_key(text), installed_key(&with)), (None, Some("ssh-ed25519 BBBB anna")));
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
        assert_eq!(installed_key(&text), None, "nobody can tell which line is ours");
        assert_eq!(installed_key(&format!("{BEGIN}\n{END}\n")), None);
    }

    #[test]
    fn only_administrators_log_in_while_nobody_holds_it() {
        assert!(drop_in(Some("lab-admins"), false, false).ends_with("\nAllowGroups lab-admins\n"));
        assert!(!drop_in(Some("lab-admins"), false, true).contains("AllowGroups"));
        for (group, is_held) in [(None, false), (Some("lab-admins"), true)] {
            assert!(drop_in(group, true, is_held).ends_with("\nExposeAuthInfo yes\n"));
        }
    }

    #[test]
    fn a_session_is_known_by_its_whole_key_and_not_by_the_comment() {
        let said = "publickey ssh-ed25519 BBBB\nkeyboard-interactive\n";
        assert!(opened_with(said, "ssh-ed25519 BBBB anna") && opened_with(said, "ssh-ed25519 BBBB"));
        for key in ["ssh-ed25519 BBB anna", "ssh-rsa BBBB", "ssh-ed25519", ""] {
            assert!(!opened_with(said, key), "{key}");
        }
        assert!(!opened_with("password\n", "ssh-ed25519 BBBB"));
    }
}
