//! Masking keys: unpredictable, new for each frame (RFC 6455, section 5.3), read from the system in batches.

use std::fmt;
use std::io;

use steadfast_protocol::websocket::mask::MaskKey;

/// Number of bytes per batch: 64 keys, one call to the system.
const POOL_BYTES: usize = 256;
/// Length of a key in bytes.
const KEY_BYTES: usize = 4;

/// A pool of keys; empty until the first key is needed.
#[derive(Default)]
pub(super) struct MaskKeys {
    pool: Vec<u8>,
}

impl MaskKeys {
    /// Returns an unused, unpredictable key.
    pub(super) fn next(&mut self) -> io::Result<MaskKey> {
        if self.pool.len() < KEY_BYTES {
            self.pool.resize(POOL_BYTES, 0);
            getrandom::fill(&mut self.pool).map_err(io::Error::other)?;
        }
        let at = self.pool.len() - KEY_BYTES;
        let key = self
            .pool
            .last_chunk::<KEY_BYTES>()
            .copied()
            .unwrap_or_default();
        self.pool.truncate(at);
        Ok(key)
    }
}

impl fmt::Debug for MaskKeys {
    /// Writes the number of keys that are left, never the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskKeys")
            .field("left", &(self.pool.len() / KEY_BYTES))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_do_not_repeat_and_are_not_displayed() {
        let mut keys = MaskKeys::default();

        let drawn: BTreeSet<MaskKey> = (0..200).map(|_| keys.next().unwrap()).collect();

        // Two of 200 keys of 32 bits are equal in one of 200,000 runs; three equal pairs never occur.
        assert!(drawn.len() >= 198, "{}", drawn.len());
        assert!(!format!("{keys:?}").contains('['));
    }
}
