//! The payload of a close frame: code and reason, both directions (RFC 6455, sections 5.5.1 and 7.4).
//!
//! Knows which codes may travel, not what the stream protocol means by its own codes.

use super::CodecError;

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// An end goes away: a server stops, a page is left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Stands for a close frame without a code; never travels.
pub const NO_STATUS: u16 = 1005;
/// Stands for a connection that ended without a close frame; never travels.
pub const ABNORMAL: u16 = 1006;
/// The payload did not fit its type, for example text that is not UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// The peer broke a rule of this end.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message was larger than this end takes.
pub const TOO_BIG: u16 = 1009;
/// Something went wrong at this end.
pub const INTERNAL_ERROR: u16 = 1011;
/// Try again later.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The longest reason: a control frame's 125 bytes less two for the code.
pub const REASON_BYTES_MAX: usize = 123;

/// True when this code may stand in a close frame: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The longest prefix of `reason` that fits into a close frame and ends between two characters.
pub fn fit_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    reason.split_at(end).0
}

/// The payload of a close frame, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct ClosePayload {
    bytes: [u8; 125],
    len: usize,
}

impl ClosePayload {
    /// Code and reason; a reason above 123 bytes is cut between two characters.
    ///
    /// # Panics
    ///
    /// If the code must not travel ([`is_sendable`]).
    pub fn new(code: u16, reason: &str) -> Self {
        assert!(is_sendable(code), "close code {code} must not be sent");
        let reason = fit_reason(reason).as_bytes();
        let mut bytes = [0; 125];
        let (head, tail) = bytes.split_at_mut(2);
        head.copy_from_slice(&code.to_be_bytes());
        for (target, source) in tail.iter_mut().zip(reason) {
            *target = *source;
        }
        Self {
            bytes,
            len: 2 + reason.len(),
        }
    }

    /// What goes into the frame; 2 to 125 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.len).0
    }
}

/// Reads the payload of a received close frame: an absent code, or code and reason.
pub(super) fn parse(payload: &[u8]) -> Result<(Option<u16>, &str), CodecError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok((None, ""))
        } else {
            Err(CodecError::ClosePayload)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_sendable(code) {
        return Err(CodecError::CloseCode);
    }
    let reason = str::from_utf8(reason).map_err(|_where| CodecError::CloseReasonUtf8)?;
    Ok((Some(code), reason))
}
