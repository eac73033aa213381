//! The payload of a close frame: code and reason, both directions (RFC 6455, sections 5.5.1 and 7.4).
//!
//! Knows which codes may travel, not what the stream protocol means by its own codes.

use super::CodecError;
use crate::codes::{CloseCode, REASON_BYTES_MAX};

/// An end goes away: a server stops, a page is left. The number from the table, for the caller that closes.
pub const GOING_AWAY: u16 = CloseCode::GoingAway.code();

/// True when this code may stand in a close frame: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
pub const fn is_sendable(code: u16) -> bool {
    match CloseCode::from_code(code) {
        Some(known) => !known.is_local_only(),
        None => matches!(code, 3000..=4999),
    }
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
