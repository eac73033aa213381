//! Masking of client frames (RFC 6455, section 5.3): XOR with a repeated four-byte key, in place.
//!
//! Masking and unmasking are the same operation.

/// A masking key as in the frame header.
pub type MaskKey = [u8; 4];

/// Masks or unmasks `bytes` in place, and returns the key for the bytes that follow in the same frame.
///
/// The function processes eight bytes at a time, which the compiler vectorises, so no unsafe code is needed.
#[inline]
pub fn apply(key: MaskKey, bytes: &mut [u8]) -> MaskKey {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= mask;
    }
    let mut next = key;
    next.rotate_left(rest.len() % 4);
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masking_by_words_equals_masking_by_bytes(key: [u8; 4], bytes: Vec<u8>, split: usize) {
            let split = split % (bytes.len() + 1);
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();

            let mut actual = bytes;
            let next = apply(key, &mut actual[..split]);
            apply(next, &mut actual[split..]);

            prop_assert_eq!(actual, expected);
        }
    }
}
