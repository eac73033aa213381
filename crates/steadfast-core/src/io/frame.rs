//! A message of the transport.

use bytes::Bytes;

/// A complete message of the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text in UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Frame {
    /// The payload.
    pub const fn payload(&self) -> &Bytes {
        match self {
            Self::Text(payload) | Self::Binary(payload) => payload,
        }
    }
}
