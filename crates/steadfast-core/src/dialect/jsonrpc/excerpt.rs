//! The id of a response that is above the limit of the client.

use bytes::Bytes;
use steadfast_protocol::jsonrpc::{IdScanner, ResponseId};

use crate::dialect::Excerpt;

impl Excerpt for IdScanner {
    fn add(&mut self, part: &[u8]) {
        self.add(part);
    }

    /// The id as four bytes; empty without an id of this client.
    fn finish(self: Box<Self>) -> Bytes {
        match (*self).finish() {
            Some(ResponseId::Number(id)) => Bytes::copy_from_slice(&id.to_be_bytes()),
            Some(ResponseId::Null | ResponseId::Unknown(_)) | None => Bytes::new(),
        }
    }
}

pub(super) fn begin() -> Box<dyn Excerpt> {
    Box::new(IdScanner::default())
}

/// The request whose response the message with this excerpt is.
pub(super) fn request_of(excerpt: &[u8]) -> Option<u32> {
    let id = excerpt.try_into().ok()?;
    Some(u32::from_be_bytes(id))
}
