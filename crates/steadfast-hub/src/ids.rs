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
    /// Writes one piece: a client id is written for every publication of a peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 36];
        let mut places = text.iter_mut();
        for (index, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            // A dash precedes these bytes.
            if matches!(index, 4 | 6 | 8 | 10) {
                places.next();
            }
            for (nibble, place) in [byte >> 4, byte & 0xf].into_iter().zip(places.by_ref()) {
                *place = hex_digit(nibble);
            }
        }
        f.write_str(str::from_utf8(&text).map_err(|_not_ascii| fmt::Error)?)
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_displayed_as_a_uuid() {
        for (id, text) in [
            (0, "00000000-0000-0000-0000-000000000000"),
            (
                0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
                "01234567-89ab-cdef-fedc-ba9876543210",
            ),
            (u128::MAX, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ] {
            assert_eq!(ClientId(id).to_string(), text);
        }
    }
}
