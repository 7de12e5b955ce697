//! Keys that sign, and the public halves by which they are known. They are nkeys of services (`SV..`, `V..`), so that neither a key of
//! an identity signs a command nor a signing key comes onto the bus.

use std::fmt;

use nkeys::{KeyPair, KeyPairType};

/// What a public signing key begins with.
const PUBLIC_PREFIX: char = 'V';

/// A service that commands agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// What is on a machine, and whose it is.
    MachineLifecycle,
    /// What runs.
    Scheduler,
}

impl Signer {
    /// Every service that commands agents.
    pub const ALL: [Self; 2] = [Self::MachineLifecycle, Self::Scheduler];

    /// Name of the service.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineLifecycle => "machine-lifecycle",
            Self::Scheduler => "scheduler",
        }
    }

    /// The service of a name; none where it commands no agent.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signer| signer.as_str() == name)
    }
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A seed that is none of a signing key; it is not shown.
    #[error("it holds no seed of a signing key, or a damaged one")]
    Seed,
    /// A public key that is none of a signing key.
    #[error("`{0}` is no public signing key")]
    Public(String),
}

/// A key that signs. It never shows its seed by itself.
#[derive(Clone)]
pub struct SigningKey {
    pair: KeyPair,
    public: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public).finish()
    }
}

impl SigningKey {
    /// A new key.
    #[must_use]
    pub fn make() -> Self {
        Self::of(KeyPair::new_service())
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// [`KeyError::Seed`].
    pub fn from_seed(seed: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_seed(seed).map_err(|_| KeyError::Seed)?;
        if pair.key_pair_type() == KeyPairType::Service { Ok(Self::of(pair)) } else { Err(KeyError::Seed) }
    }

    fn of(pair: KeyPair) -> Self {
        let public = pair.public_key();
        Self { pair, public }
    }

    /// The seed, which is a secret.
    #[must_use]
    pub fn seed(&self) -> String {
        self.pair.seed().expect("a key that signs has a seed")
    }

    /// The public half, as text.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Signs a statement.
    pub(crate) fn sign(&self, statement: &[u8]) -> Vec<u8> {
        self.pair.sign(statement).expect("a key that signs has a seed")
    }
}

/// The public half of a key that signs.
#[derive(Clone)]
pub struct PublicKey {
    pair: KeyPair,
    text: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.text).finish()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    /// The key of a text.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::Public(text.chars().take(64).collect());
        let pair = KeyPair::from_public_key(text).map_err(|_| wrong())?;
        if !text.starts_with(PUBLIC_PREFIX) {
            return Err(wrong());
        }
        Ok(Self { pair, text: text.to_owned() })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this key has signed a statement.
    pub(crate) fn has_signed(&self, statement: &[u8], signature: &[u8]) -> bool {
        self.pair.verify(statement, signature).is_ok()
    }
}
