//! Splits a message of a server into lines, one reply each.

use std::mem;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::limits::Limits;

/// The remaining lines of a message. A line feed separates lines; a line feed at the end of the message is optional.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    message: &'a Bytes,
    limits: &'a Limits,
    rest: Rest<'a>,
    /// Number of lines before the rest.
    taken: usize,
}

/// What was not returned yet.
#[derive(Clone, Debug)]
enum Rest<'a> {
    /// The remaining lines.
    Lines(&'a str),
    /// The message is invalid as a whole.
    Invalid(DecodeError),
    /// Nothing is left.
    Nothing,
}

impl<'a> Lines<'a> {
    /// Checks the message: its size, its encoding, and that it is not empty. If it is invalid, the error is the only
    /// item.
    pub(super) fn new(message: &'a Bytes, limits: &'a Limits) -> Self {
        Self {
            message,
            limits,
            rest: match check(message, limits) {
                Ok(text) => Rest::Lines(text),
                Err(error) => Rest::Invalid(error),
            },
            taken: 0,
        }
    }

    /// Returns the message that contains the lines.
    pub(super) fn message(&self) -> &'a Bytes {
        self.message
    }

    /// Returns the limits of the decoder.
    pub(super) fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// Discards the remaining lines: after an invalid line they cannot be trusted.
    pub(super) fn stop(&mut self) {
        self.rest = Rest::Nothing;
    }

    /// Returns the next line and its number, counted from 1.
    pub(super) fn next(&mut self) -> Option<Result<(&'a str, usize), DecodeError>> {
        let rest = match mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Lines(rest) => rest,
            Rest::Invalid(error) => return Some(Err(error)),
            Rest::Nothing => return None,
        };
        if self.taken == self.limits.replies_max {
            return Some(Err(DecodeError::TooManyReplies {
                count_max: self.limits.replies_max,
            }));
        }
        let line = match memchr::memchr(b'\n', rest.as_bytes())
            .and_then(|end| rest.split_at_checked(end))
        {
            Some((line, after)) => {
                self.rest = after.strip_prefix('\n').map_or(Rest::Nothing, Rest::Lines);
                line
            }
            None => rest,
        };
        self.taken += 1;
        Some(Ok((line, self.taken)))
    }
}

/// Returns the lines of a message as text.
fn check<'a>(message: &'a Bytes, limits: &Limits) -> Result<&'a str, DecodeError> {
    if message.len() > limits.message_bytes {
        return Err(DecodeError::MessageTooLong {
            bytes: message.len(),
            bytes_max: limits.message_bytes,
        });
    }
    let text = std::str::from_utf8(message).map_err(DecodeError::NotUtf8)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(DecodeError::Empty);
    }
    Ok(text)
}
