//! A message of the transport.

use bytes::Bytes;

/// A complete message of the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text in UTF-8.
    Text(Bytes),
    /// Bytes without a restriction.
    Binary(Bytes),
}

impl Frame {
    /// The bytes of the message, without its kind.
    pub const fn payload(&self) -> &Bytes {
        match self {
            Self::Text(payload) | Self::Binary(payload) => payload,
        }
    }
}
