//! Consecutive replies to one receiver, combined into one payload.
//!
//! Several replies to one message of a client, or several acknowledgements in a row, share a frame. A shell appends
//! every reply here, and takes the payload before it executes anything else, when the next reply has another receiver,
//! and when the step that produced the replies ends; so the order of a receiver's bytes is the order of its messages.
//! Owns one buffer that all payloads use; does not write frames.

use super::Encoding;
use crate::message::Reply;

/// A payload that exceeds this size is finished: large messages delay the first reply in them, and no ping can overtake
/// the rest of one; a link of 16 kbit/s carries this size in 8 s, and SDKs wait 10 s longer than the ping interval. Also the
/// capacity that the buffer retains.
const PAYLOAD_BYTES_SOFT_MAX: usize = 16 * 1024;

/// The payload under construction; `R` identifies a receiver.
#[derive(Debug)]
pub struct ReplyCoalescer<R> {
    /// The receiver of the payload and its encoding; `None` when the payload was taken.
    open: Option<(R, Encoding)>,
    payload: Vec<u8>,
}

/// One or more replies to one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyPayload<'a, R> {
    /// Who receives the replies.
    pub receiver: R,
    /// The encoding of the replies, which determines the kind of their frame.
    pub encoding: Encoding,
    /// The encoded replies with the separators between them.
    pub bytes: &'a [u8],
}

impl<R> Default for ReplyCoalescer<R> {
    fn default() -> Self {
        Self {
            open: None,
            payload: Vec::new(),
        }
    }
}

impl<R: Copy + Eq> ReplyCoalescer<R> {
    /// Returns whether the next reply to this receiver can be appended without taking a payload first.
    pub fn accepts(&self, receiver: R) -> bool {
        self.open.is_none_or(|(owner, _)| {
            owner == receiver && self.payload.len() < PAYLOAD_BYTES_SOFT_MAX
        })
    }

    /// Appends a reply.
    ///
    /// # Panics
    ///
    /// If the open payload has another receiver: see [`Self::accepts`].
    pub fn append(&mut self, receiver: R, encoding: Encoding, reply: &Reply) {
        if let Some((owner, _)) = self.open {
            assert!(owner == receiver, "a payload has one receiver");
            self.payload.extend_from_slice(encoding.separator());
        } else {
            self.open = Some((receiver, encoding));
            self.payload.clear();
            self.payload.shrink_to(PAYLOAD_BYTES_SOFT_MAX);
        }
        encoding.append_reply(&mut self.payload, reply);
    }

    /// Finishes the open payload, if there is one.
    pub fn take(&mut self) -> Option<ReplyPayload<'_, R>> {
        let (receiver, encoding) = self.open.take()?;
        Some(ReplyPayload {
            receiver,
            encoding,
            bytes: &self.payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::ReplyResult;

    #[test]
    fn consecutive_replies_to_one_receiver_share_a_payload() {
        let mut coalescer = ReplyCoalescer::default();

        append_all(
            &mut coalescer,
            7,
            &[published(1), published(2), Reply::Ping],
        );

        let payload = coalescer.take().unwrap();
        assert_eq!((payload.receiver, payload.encoding), (7, Encoding::Json));
        assert_eq!(
            payload.bytes,
            b"{\"id\":1,\"publish\":{}}\n{\"id\":2,\"publish\":{}}\n{}"
        );
        assert_eq!(coalescer.take(), None);
    }

    #[test]
    fn a_payload_is_taken_before_a_reply_to_another_receiver() {
        let mut coalescer = ReplyCoalescer::default();
        assert!(coalescer.accepts(7));

        append_all(&mut coalescer, 7, &[published(1)]);
        assert!(coalescer.accepts(7) && !coalescer.accepts(8));
        let first = coalescer.take().map(|payload| payload.bytes.to_vec());
        append_all(&mut coalescer, 8, &[published(2)]);

        assert_eq!(first.unwrap(), b"{\"id\":1,\"publish\":{}}");
        assert_eq!(
            coalescer.take().unwrap().bytes,
            b"{\"id\":2,\"publish\":{}}"
        );
    }

    #[test]
    fn a_payload_above_the_soft_maximum_is_finished() {
        let mut coalescer = ReplyCoalescer::default();
        // The reply has 24 bytes in addition to its data.
        let below = rpc_with(PAYLOAD_BYTES_SOFT_MAX - 25);

        append_all(&mut coalescer, 7, &[below]);
        assert!(coalescer.accepts(7));
        append_all(&mut coalescer, 7, &[Reply::Ping]);

        assert!(!coalescer.accepts(7));
        assert_eq!(
            coalescer.take().unwrap().bytes.len(),
            PAYLOAD_BYTES_SOFT_MAX + 2
        );
    }

    #[test]
    fn the_acknowledgements_of_three_hundred_publications_share_a_payload() {
        let mut coalescer = ReplyCoalescer::default();

        for id in 1..=300 {
            assert!(coalescer.accepts(7), "{id}");
            append_all(&mut coalescer, 7, &[published(id)]);
        }
    }

    #[test]
    fn a_large_payload_releases_its_memory() {
        let mut coalescer = ReplyCoalescer::default();

        append_all(&mut coalescer, 7, &[rpc_with(4 * PAYLOAD_BYTES_SOFT_MAX)]);
        coalescer.take();
        append_all(&mut coalescer, 7, &[Reply::Ping]);

        assert!(coalescer.payload.capacity() <= PAYLOAD_BYTES_SOFT_MAX);
    }

    #[test]
    #[should_panic(expected = "a payload has one receiver")]
    fn a_payload_cannot_have_two_receivers() {
        let mut coalescer = ReplyCoalescer::default();

        append_all(&mut coalescer, 7, &[Reply::Ping]);
        append_all(&mut coalescer, 8, &[Reply::Ping]);
    }

    fn append_all(coalescer: &mut ReplyCoalescer<u32>, receiver: u32, replies: &[Reply]) {
        for reply in replies {
            coalescer.append(receiver, Encoding::Json, reply);
        }
    }

    fn published(id: u32) -> Reply {
        Reply::Response {
            id,
            outcome: Ok(ReplyResult::Publish),
        }
    }

    fn rpc_with(data_bytes: usize) -> Reply {
        Reply::Response {
            id: 1,
            outcome: Ok(ReplyResult::Rpc(Bytes::from(vec![b'1'; data_bytes]))),
        }
    }
}
