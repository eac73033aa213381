//! The payload of a close frame: code and reason, decoded, and what may be sent in it (RFC 6455, sections 5.5.1 and 7.4).
//!
//! This module checks which codes may be sent; the meaning of the codes is defined in [`crate::codes`].

use super::CodecError;
use crate::codes::{CloseCode, REASON_BYTES_MAX};

/// Returns `true` when this code may be sent in a close frame: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
pub const fn is_sendable(code: u16) -> bool {
    match CloseCode::from_code(code) {
        Some(known) => !known.is_local_only(),
        None => matches!(code, 3000..=4999),
    }
}

/// Returns the longest prefix of `reason` that fits into a close frame and ends at a character boundary.
pub fn fit_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    reason.split_at(end).0
}

/// Decodes the payload of a received close frame: empty, or code and reason.
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
