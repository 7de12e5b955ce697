//! Where somebody is told of a reservation: by e-mail, a webhook, or a command that the administrator configured.

use std::fmt;

/// Longest target, bytes.
pub const NOTIFY_SIZE_MAX: usize = 1_000;

/// Where somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NotifyTarget {
    /// Nowhere: they look for themselves.
    #[default]
    None,
    /// By e-mail to this address.
    Mail(String),
    /// By a POST to this URL.
    Webhook(String),
    /// By the command that the administrator gave this name.
    Command(String),
}

/// What is wrong with a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no target of notices: {reason}")]
pub struct NotifyError {
    /// What was given, cut to what can be told.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl NotifyTarget {
    /// Reads `none`, `anna@example.com`, `mail:anna@example.com`, `https://..`, `http://..` or `command:NAME`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NotifyError> {
        let wrong = |reason| Err(NotifyError { text: crate::text::cut(text, 80).to_owned(), reason });
        if text.len() > NOTIFY_SIZE_MAX {
            return wrong("it is too long");
        }
        if text.is_empty() || text == "none" {
            return Ok(Self::None);
        }
        if let Some(name) = text.strip_prefix("command:") {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let is_name = !name.is_empty() && name.bytes().all(legal);
            return if is_name { Ok(Self::Command(name.into())) } else { wrong("a command has a name of letters") };
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
            let host = text.split("://").nth(1).unwrap_or_default();
            let named = !host.is_empty() && !host.starts_with(['/', ':', '?']);
            return if plain && named { Ok(Self::Webhook(text.into())) } else { wrong("it is no URL") };
        }
        let address = text.strip_prefix("mail:").unwrap_or(text);
        match is_address(address) {
            true => Ok(Self::Mail(address.into())),
            false if text.contains('@') || text.starts_with("mail:") => wrong("it is no e-mail address"),
            false => wrong("it is neither `none`, an e-mail address, a URL nor `command:NAME`"),
        }
    }

    /// Nowhere.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// For people: of a URL only who is asked, because the rest of it is often a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self::Webhook(url) = self else { return self.to_string() };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A user and a password may stand before the host.
        format!("{scheme}://{}/...", host.rsplit('@').next().unwrap_or_default())
    }
}

/// One recipient without anything that a mail's header could be made to mean.
fn is_address(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_domain = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    text.len() <= 254
        && !local.is_empty()
        && local.bytes().all(legal)
        && is_domain
        && !domain.is_empty()
        && !domain.starts_with(['.', '-'])
        && !domain.contains("..")
}

impl fmt::Display for NotifyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Mail(address) => write!(f, "mail:{address}"),
            Self::Webhook(url) => f.write_str(url),
            Self::Command(name) => write!(f, "command:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_printed_alike() {
        for text in ["none", "mail:anna@example.com", "https://hooks.example/a?b=c", "command:pager"] {
            assert_eq!(NotifyTarget::parse(text).expect("it is one").to_string(), text);
        }
        assert_eq!(NotifyTarget::parse("").expect("nothing is said"), NotifyTarget::None);
        let bare = NotifyTarget::parse("anna@example.com").expect("an address");
        assert_eq!(bare, NotifyTarget::Mail("anna@example.com".into()));
    }

    #[test]
    fn what_a_header_or_a_shell_could_misread_is_no_target() {
        let wrong = [
            "anna",
            "@example.com",
            "anna@",
            "a@b@c",
            "a b@c",
            "a@c\r\nBcc: x@y",
            "<a@b>",
            "mail:",
            "command:",
            "command:/bin/sh",
            "command:a b",
            "http://",
            "https:///x",
            "http://a b",
            "ftp://x",
            "a@..",
        ];
        for text in wrong {
            assert!(NotifyTarget::parse(text).is_err(), "{text}");
        }
        assert!(NotifyTarget::parse(&format!("https://x/{}", "a".repeat(NOTIFY_SIZE_MAX))).is_err());
    }

    #[test]
    fn of_a_webhook_only_the_host_is_shown() {
        let target = NotifyTarget::parse("https://me:secret@hooks.example:8443/T0/B1?key=2").expect("a webhook");
        assert_eq!(target.shown(), "https://hooks.example:8443/...");
        assert_eq!(NotifyTarget::Command("pager".into()).shown(), "command:pager");
    }
}
