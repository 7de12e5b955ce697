//! What a server and its clients say through their agents before they connect, as JSON: a client asks where, the server says here.

use std::io::Read as _;

use serde::{Deserialize, Serialize};

/// Two words that nobody can guess: who shows them was told them.
pub type Token = [u64; 2];

/// One of the two says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// The client wants to connect.
    Where,
    /// The server listens.
    Here(Here),
}

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// Addresses, the best first: `10.0.0.2:41234`.
    pub addresses: Vec<String>,
    /// What the client shows, 32 hexadecimal digits.
    pub token: String,
    /// What the server shows.
    pub reply: String,
    /// Boot id of the server's machine: who shares it shares the clock and the loopback.
    pub boot_id: String,
}

impl Words {
    /// As they are said.
    #[must_use]
    pub fn say(&self) -> String {
        serde_json::to_string(self).expect("words have only texts")
    }

    /// Words that were heard; none for others.
    #[must_use]
    pub fn hear(words: &str) -> Option<Self> {
        serde_json::from_str(words).ok()
    }
}

/// Numbers that nobody can guess.
///
/// # Errors
/// The system's source of them can not be read.
pub fn random<const N: usize>() -> std::io::Result<[u64; N]> {
    let mut bytes = vec![0; N * 8];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes))?;
    let mut numbers = [0; N];
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    Ok(numbers)
}

/// A token as text.
#[must_use]
pub fn print_token(token: Token) -> String {
    format!("{:016x}{:016x}", token[0], token[1])
}

/// A token of its text; of other text, one that nobody has.
#[must_use]
pub fn parse_token(text: &str) -> Token {
    let part = |range| text.get(range).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
    [part(0..16), part(16..32)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_as_they_were_said_and_fit() {
        let addresses =
            vec!["[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".to_owned(); crate::addresses::ADDRESSES_MAX];
        let here = Here { addresses, token: "f".repeat(32), reply: "0".repeat(32), boot_id: "b".repeat(36) };
        for words in [Words::Where, Words::Here(here)] {
            assert!(words.say().len() <= muster_module_protocol::PEER_WORDS_MAX_BYTES);
            assert_eq!(Words::hear(&words.say()), Some(words));
        }
        assert_eq!(Words::hear("{"), None);
    }

    #[test]
    fn a_token_survives_its_text_and_no_two_are_the_same() {
        let [one, two, three, four] = random().expect("random numbers");
        assert_ne!([one, two], [three, four]);
        assert_eq!(parse_token(&print_token([one, two])), [one, two]);
        assert_eq!(parse_token("é"), [0, 0]);
    }
}
