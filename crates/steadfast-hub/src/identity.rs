//! Who a client is.

use bytes::Bytes;

/// Who a client is, as decided when it connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user; empty for an anonymous client.
    pub user: String,
    /// Client info that is shown to other clients, raw JSON.
    pub info: Option<Bytes>,
}

impl Identity {
    /// Whether nothing is known about the client.
    pub(crate) const fn is_empty(&self) -> bool {
        self.user.is_empty() && self.info.is_none()
    }
}
