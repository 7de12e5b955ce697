//! What the two say through their agents, as JSON: the client asks where, the server says here.

use serde::{Deserialize, Serialize};

/// One of the two says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Words {
    /// The client wants to connect.
    Where,
    /// The server listens.
    Here(Here),
}

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Here {
    /// Addresses, the best first: `10.0.0.2:41234`.
    pub(crate) addresses: Vec<String>,
    /// What the client shows, 32 hexadecimal digits.
    pub(crate) token: String,
    /// What the server shows.
    pub(crate) reply: String,
    /// Boot id of the server's machine: who shares it shares the clock and the loopback.
    pub(crate) boot_id: String,
}

impl Words {
    /// As they are said.
    pub(crate) fn say(&self) -> String {
        serde_json::to_string(self).expect("words have only texts")
    }

    /// Words that were heard; none for others.
    pub(crate) fn hear(words: &str) -> Option<Self> {
        serde_json::from_str(words).ok()
    }
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
            assert!(words.say().len() <= muster_sdk::PEER_WORDS_MAX_BYTES);
            assert_eq!(Words::hear(&words.say()), Some(words));
        }
        assert_eq!(Words::hear("{"), None);
    }
}
