//! The identities of connections and clients.

use std::fmt;

/// One connection of this hub. The shell chooses the index (dense, reused) and increments the generation on each reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    /// The slot in the tables of shell and hub.
    pub index: u32,
    /// Distinguishes successive peers of one slot.
    pub generation: u32,
}

/// The identity of a connection's client, from the operating system's randomness. Displayed as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u128);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let mut rest = hex.as_str();
        for (index, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            let (group, tail) = rest.split_at(len);
            let dash = if index == 0 { "" } else { "-" };
            write!(f, "{dash}{group}")?;
            rest = tail;
        }
        Ok(())
    }
}
