//! A message of the transport.

use std::fmt;

use bytes::Bytes;

/// A complete message of the transport. Its debug output is its kind and its length: a login contains credentials.
///
/// ```
/// use steadfast_core::io::Frame;
///
/// assert_eq!(Frame::from("hello").as_text(), Some("hello"));
/// assert_eq!(Frame::Binary(vec![1, 2].into()).payload().as_ref(), [1, 2]);
/// ```
#[derive(Clone, PartialEq, Eq)]
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

    /// The text of a text message; `None` for a binary message, and for text that is not UTF-8, which no transport
    /// delivers.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(payload) => str::from_utf8(payload).ok(),
            Self::Binary(_) => None,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Text(_) => "Text",
            Self::Binary(_) => "Binary",
        };
        write!(f, "{kind}({} bytes)", self.payload().len())
    }
}

impl From<&str> for Frame {
    /// A text message.
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Frame {
    /// A text message.
    fn from(text: String) -> Self {
        Self::Text(Bytes::from(text))
    }
}

impl From<Bytes> for Frame {
    /// A binary message.
    fn from(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_kind_and_length_and_not_the_content() {
        let text = Frame::from("SECRET");
        let binary = Frame::from(Bytes::from_static(b"SECRETS"));

        assert_eq!(format!("{text:?}"), "Text(6 bytes)");
        assert_eq!(format!("{binary:?}"), "Binary(7 bytes)");
    }
}
