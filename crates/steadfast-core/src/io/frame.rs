//! A message of the transport.

use bytes::Bytes;

/// A complete message of the transport.
///
/// ```
/// use steadfast_core::io::Frame;
///
/// assert_eq!(Frame::from("hello").as_text(), Some("hello"));
/// assert_eq!(Frame::Binary(vec![1, 2].into()).payload().as_ref(), [1, 2]);
/// ```
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

    /// The text of a text message; `None` for a binary message, and for text that is not UTF-8, which no transport
    /// delivers.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(payload) => str::from_utf8(payload).ok(),
            Self::Binary(_) => None,
        }
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
