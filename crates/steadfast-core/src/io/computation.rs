//! What a login needs and a pure state machine does not have: random bytes, and time of a processor.
//!
//! The machine requests it, the shell does it outside of its event loop, and the result is an input.

use std::fmt;

use bytes::Bytes;

use crate::secret::Secret;

/// The length of a nonce in bytes.
pub const NONCE_BYTES: usize = 32;

/// The length of a derived key in bytes: that of SHA-512.
pub const KEY_BYTES: usize = 64;

/// What the shell does for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Computation {
    /// Random bytes that no peer can predict.
    Nonce,
    /// A key from a secret, which takes up to seconds.
    DeriveKey(KeyDerivation),
}

/// PBKDF2 (RFC 8018) with HMAC-SHA-512 and an output of [`KEY_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDerivation {
    /// The password or API key.
    pub secret: Secret,
    /// The salt, of any length.
    pub salt: Bytes,
    /// The number of iterations, above zero. Its limit is the caller's business: a million takes about a second.
    pub iterations: u32,
}

impl KeyDerivation {
    /// A derivation from this secret with this salt and number of iterations.
    pub const fn new(secret: Secret, salt: Bytes, iterations: u32) -> Self {
        Self {
            secret,
            salt,
            iterations,
        }
    }

    /// Derives the key. Blocks for as long as it takes, so that it belongs on a thread of its own.
    #[cfg(feature = "truenas")]
    pub fn derive(&self) -> DerivedKey {
        let mut key = [0; KEY_BYTES];
        let secret = self.secret.expose().as_bytes();
        pbkdf2::pbkdf2_hmac::<sha2::Sha512>(secret, &self.salt, self.iterations, &mut key);
        DerivedKey(key)
    }
}

/// A key that was derived from a secret, and is as secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DerivedKey(pub [u8; KEY_BYTES]);

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The result of a [`Computation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Computed {
    /// The result of [`Computation::Nonce`].
    Nonce([u8; NONCE_BYTES]),
    /// The result of [`Computation::DeriveKey`].
    Key(DerivedKey),
    /// The shell could not do it, for this reason.
    Failed(String),
}
