//! An ssh public key, as a line of authorized_keys: checked, so that it can be nothing else.

use std::fmt;

/// Longest key with its comment, bytes.
pub const SSH_KEY_SIZE_MAX: usize = 16 << 10;

/// Types of keys that are taken.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One public key: a known type, its bytes in base64, a comment. No options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey(String);

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no ssh public key: {0}")]
pub struct SshKeyError(&'static str);

impl SshKey {
    /// Reads one line, as it stands in a file like `id_ed25519.pub`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, SshKeyError> {
        if text.len() > SSH_KEY_SIZE_MAX {
            return Err(SshKeyError("it is longer than 16 KiB"));
        }
        let line = text.trim();
        if line.contains("PRIVATE KEY") {
            return Err(SshKeyError("it is a private key; give the file that ends in .pub"));
        }
        if line.lines().count() != 1 || line.chars().any(char::is_control) {
            return Err(SshKeyError("it is not exactly one line"));
        }
        let mut words = line.split_ascii_whitespace();
        let (kind, encoded) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !TYPES.contains(&kind) {
            return Err(SshKeyError(
                "it does not begin with a known type of key, like ssh-ed25519; options are not taken",
            ));
        }
        let bytes = decode(encoded).ok_or(SshKeyError("what follows its type is not base64"))?;
        // The bytes begin with the length of the type, and the type again.
        let says_type =
            bytes.get(..4).is_some_and(|length| length == u32::try_from(kind.len()).unwrap_or(0).to_be_bytes());
        if !says_type || bytes.get(4..4 + kind.len()) != Some(kind.as_bytes()) || bytes.len() <= 4 + kind.len() {
            return Err(SshKeyError("its bytes are not those of a key of its type"));
        }
        Ok(Self(line.to_owned()))
    }

    /// The line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of base64 with its padding; none where it is something else.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.is_empty() || !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut buffer, mut bits) = (0_u32, 0);
    for digit in digits.bytes() {
        buffer = (buffer << 6) | u32::from(value(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFn3FcEJ5bNVDaLEqkGjB7Lk2qVq4K4H3cM0gT5E5e5y anna@laptop";

    #[test]
    fn a_key_is_read_as_it_stands_in_its_file() {
        let key = SshKey::parse(&format!("{KEY}\n")).expect("it is one");
        assert_eq!(key.as_str(), KEY);
        assert!(SshKey::parse(KEY.rsplit_once(' ').expect("a comment").0).is_ok(), "a comment may be missing");
    }

    #[test]
    fn whatever_could_be_more_than_a_key_is_refused() {
        let wrong = [
            String::new(),
            format!("command=\"/bin/sh\" {KEY}"),
            format!("{KEY}\n{KEY}"),
            format!("{KEY}\rssh-rsa x"),
            KEY.replace("ssh-ed25519 ", "ssh-rsa "),
            KEY.replace("ssh-ed25519 ", "ssh-dss "),
            KEY.replace("AAAAC3", "AAAAC-"),
            "ssh-ed25519".into(),
            "ssh-ed25519 AAAA".into(),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 x".into(),
            format!("{KEY} {}", "a".repeat(SSH_KEY_SIZE_MAX)),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nx".into(),
        ];
        for text in &wrong {
            assert!(SshKey::parse(text).is_err(), "{text}");
        }
    }
}
