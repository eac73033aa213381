//! The messages that are assembled for one connection, and the numbers of requests.

use std::fmt;

use bytes::Bytes;

use crate::io::Frame;

/// How a protocol puts several requests into one text message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BatchRules {
    /// The bytes between two requests.
    pub separator: &'static [u8],
    /// The largest size of a message in bytes; a single request may exceed it.
    pub bytes_max: usize,
    /// The largest number of requests in a message; at least 1.
    pub requests_max: usize,
    /// The bytes before and after several requests; not written around a single one.
    pub enclosure: (&'static [u8], &'static [u8]),
}

impl BatchRules {
    /// Up to this many requests, at least 1, and this many bytes in a message, with a separator between two requests.
    pub const fn new(separator: &'static [u8], bytes_max: usize, requests_max: usize) -> Self {
        Self {
            separator,
            bytes_max,
            requests_max,
            enclosure: (b"", b""),
        }
    }

    /// Sets what is written before and after several requests.
    #[must_use]
    pub const fn enclosed_by(self, before: &'static [u8], after: &'static [u8]) -> Self {
        Self {
            enclosure: (before, after),
            ..self
        }
    }
}

/// The longest message for which memory is allocated at once.
const ALLOCATED_AT_ONCE_MAX: usize = 16 << 10;

/// The most replies to the peer that are added while the socket accepts nothing.
const WAITING_REPLIES_MAX: u64 = 64;

/// Collects what is written to one connection until the session passes it to the transport. Its debug output has no
/// content: a request may contain credentials.
#[derive(Default)]
pub struct Wire {
    last_id: u32,
    /// The message being assembled.
    open: Vec<u8>,
    requests: usize,
    /// What the message being assembled is enclosed by if it has several requests.
    enclosure: (&'static [u8], &'static [u8]),
    full: Vec<Frame>,
    /// The length of the last message: the next one is probably as long, and then needs no copies while it grows.
    last_len: usize,
    /// The socket accepts nothing at present.
    is_blocked: bool,
    /// Replies to the peer since the socket accepted something, also those that were dropped.
    waiting_replies: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            last_id,
            open,
            requests,
            enclosure: _,
            full,
            last_len,
            is_blocked: _,
            waiting_replies: _,
        } = self;
        f.debug_struct("Wire")
            .field("last_id", last_id)
            .field("open_bytes", &open.len())
            .field("requests", requests)
            .field("full", full)
            .field("last_len", last_len)
            .finish()
    }
}

impl Wire {
    /// The id of the next request. The id 0 is never used: it is for messages without a reply.
    pub const fn next_id(&self) -> u32 {
        match self.last_id.checked_add(1) {
            Some(id) => id,
            None => 1,
        }
    }

    /// The id of the newest request; 0 before the first.
    pub(crate) const fn last_id(&self) -> u32 {
        self.last_id
    }

    /// The id of the next request, which is then used.
    pub const fn take_id(&mut self) -> u32 {
        self.last_id = self.next_id();
        self.last_id
    }

    /// Adds a message of its own.
    pub fn frame(&mut self, frame: Frame) {
        self.close();
        self.full.push(frame);
    }

    /// Adds a reply to a request of the peer, as a message of its own. While the socket accepts nothing, at most 64 are added,
    /// and further ones are dropped: a peer that sends requests and does not read would take any amount of memory. Returns
    /// how many were dropped since the socket accepted something, this one included; 0 if it was added.
    pub fn reply(&mut self, frame: Frame) -> u64 {
        if self.is_blocked {
            self.waiting_replies = self.waiting_replies.saturating_add(1);
            let dropped = self.waiting_replies.saturating_sub(WAITING_REPLIES_MAX);
            if dropped > 0 {
                return dropped;
            }
        }
        self.frame(frame);
        0
    }

    /// Whether the socket accepts nothing at present.
    pub(crate) const fn set_blocked(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        if !is_blocked {
            self.waiting_replies = 0;
        }
    }

    /// Adds a request to the text message that is being assembled, or begins another one if it does not fit.
    pub fn batch(&mut self, rules: &BatchRules, write: impl FnOnce(&mut Vec<u8>)) {
        // Otherwise the request would be written to the end of this message, and copied.
        if self.requests >= rules.requests_max {
            self.close();
        }
        let before = self.open.len();
        self.enclosure = rules.enclosure;
        if before > 0 {
            self.open.extend_from_slice(rules.separator);
        } else {
            self.open.reserve(self.last_len.min(ALLOCATED_AT_ONCE_MAX));
        }
        let start = self.open.len();
        write(&mut self.open);
        self.requests += 1;
        let (opening, closing) = rules.enclosure;
        let bytes = self.open.len() + opening.len() + closing.len();
        if bytes > rules.bytes_max {
            let rest = self.open.split_off(start);
            self.open.truncate(before);
            self.requests -= 1;
            self.close();
            self.open = rest;
            self.requests = 1;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.enclose();
            self.last_len = self.open.len();
            let text = Bytes::from(std::mem::take(&mut self.open));
            self.full.push(Frame::Text(text));
            self.requests = 0;
        }
    }

    fn enclose(&mut self) {
        let (opening, closing) = self.enclosure;
        if self.requests > 1 && !(opening.is_empty() && closing.is_empty()) {
            self.open.splice(0..0, opening.iter().copied());
            self.open.extend_from_slice(closing);
        }
    }

    /// Discards everything that was not taken.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.requests = 0;
        self.full.clear();
    }

    /// Returns the assembled messages and clears the buffer.
    pub(crate) fn take(&mut self) -> Vec<Frame> {
        self.close();
        std::mem::take(&mut self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BatchRules = BatchRules {
        separator: b"|",
        bytes_max: 8,
        requests_max: 3,
        enclosure: (b"", b""),
    };

    /// The messages that these requests become.
    fn messages(requests: &[&str]) -> Vec<Frame> {
        messages_by(&RULES, requests)
    }

    fn messages_by(rules: &BatchRules, requests: &[&str]) -> Vec<Frame> {
        let mut wire = Wire::default();
        for request in requests {
            wire.batch(rules, |out| out.extend_from_slice(request.as_bytes()));
        }
        wire.take()
    }

    fn texts(texts: &[&str]) -> Vec<Frame> {
        texts.iter().map(|text| Frame::from(*text)).collect()
    }

    #[test]
    fn requests_share_messages_up_to_both_limits() {
        // Eight bytes, and one more.
        assert_eq!(messages(&["1234", "678"]), texts(&["1234|678"]));
        assert_eq!(messages(&["1234", "6789"]), texts(&["1234", "6789"]));
        // Three requests, and four; what begins a message counts in it.
        assert_eq!(messages(&["a", "b", "c"]), texts(&["a|b|c"]));
        let seven = messages(&["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(seven, texts(&["a|b|c", "d|e|f", "g"]));
    }

    #[test]
    fn a_request_above_the_limit_is_a_message_of_its_own() {
        assert_eq!(messages(&["123456789"]), texts(&["123456789"]));
        let between = messages(&["a", "123456789", "b"]);
        assert_eq!(between, texts(&["a", "123456789", "b"]));
    }

    #[test]
    fn several_requests_are_enclosed_within_the_limit_and_one_is_not() {
        let rules = RULES.enclosed_by(b"[", b"]");
        let messages = |requests: &[&str]| messages_by(&rules, requests);

        assert_eq!(messages(&["1"]), texts(&["1"]));
        assert_eq!(messages(&["12", "567"]), texts(&["[12|567]"]));
        assert_eq!(messages(&["12", "5678", "9"]), texts(&["12", "[5678|9]"]));
        assert_eq!(messages(&["a", "b", "c", "d"]), texts(&["[a|b|c]", "d"]));
    }

    #[test]
    fn replies_are_limited_while_the_socket_accepts_nothing() {
        let mut wire = Wire::default();
        let reply = |wire: &mut Wire| wire.reply(Frame::from("{}"));
        for _ in 0..100 {
            assert_eq!(reply(&mut wire), 0);
        }
        assert_eq!(wire.take().len(), 100);

        wire.set_blocked(true);
        let dropped: Vec<u64> = (0..67).map(|_| reply(&mut wire)).collect();
        assert_eq!(dropped[63..], [0, 1, 2, 3]);
        assert_eq!(wire.take().len(), 64);
        assert_eq!(reply(&mut wire), 4);

        wire.set_blocked(false);
        assert_eq!(reply(&mut wire), 0);
    }

    #[test]
    fn debug_output_shows_no_content() {
        let mut wire = Wire::default();
        wire.frame(Frame::from("AAAAAA"));
        wire.batch(&RULES, |out| out.extend_from_slice(b"AAAAAA"));

        let shown = format!("{wire:?}");

        let expected =
            "Wire { last_id: 0, open_bytes: 6, requests: 1, full: [Text(6 bytes)], last_len: 0 }";
        assert_eq!(shown, expected);
    }
}
