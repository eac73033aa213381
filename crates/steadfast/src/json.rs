//! Payloads as JSON, in memory of exactly their size.

use std::cell::Cell;

use bytes::Bytes;
use serde::Serialize;

/// Buffers with a larger capacity are not kept.
const KEPT_BYTES_MAX: usize = 16 << 10;

thread_local! {
    /// A payload is written here first, because its length is not known: a buffer that grows is copied, and has more
    /// memory than the payload needs while it waits in the outbox.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Serializes a payload.
///
/// # Errors
///
/// The data cannot be serialized as JSON.
pub(crate) fn to_bytes(data: &impl Serialize) -> serde_json::Result<Bytes> {
    // While the thread ends there is no buffer. Taken, so that serializing may call this function again.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let written = serde_json::to_writer(&mut buffer, data);
    let bytes = written.map(|()| Bytes::copy_from_slice(&buffer));
    if buffer.capacity() <= KEPT_BYTES_MAX {
        let _ = BUFFER.try_with(|it| it.set(buffer));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde::ser::{Error as _, Serializer};

    use super::*;

    /// Serializes another payload while it is serialized.
    struct Nested;

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = to_bytes(&"inner").map_err(S::Error::custom)?;
            serializer.collect_str(&inner.len())
        }
    }

    struct Invalid;

    impl Serialize for Invalid {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            drop(serializer.serialize_str("partial"));
            Err(S::Error::custom("invalid"))
        }
    }

    #[test]
    fn each_payload_is_complete_and_alone() {
        assert_eq!(to_bytes(&[1, 2, 3]).unwrap(), "[1,2,3]");
        assert_eq!(to_bytes(&("outer", Nested)).unwrap(), r#"["outer","7"]"#);
        assert!(to_bytes(&Invalid).is_err());
        assert_eq!(to_bytes(&1).unwrap(), "1");
        assert_eq!(to_bytes(&"x".repeat(100_000)).unwrap().len(), 100_002);
        assert_eq!(BUFFER.take().capacity(), 0);
    }
}
