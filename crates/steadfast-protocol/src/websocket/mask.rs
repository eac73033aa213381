//! Masking of client frames (RFC 6455, section 5.3): XOR with a repeated four-byte key, in place.
//!
//! The decoder unmasks with it, the encoder masks; both directions are the same operation.

/// A masking key, as it stands in the frame header.
pub type MaskKey = [u8; 4];

/// Masks or unmasks `bytes` in place, and returns the key for the bytes that follow in the same frame.
///
/// Eight bytes at a time: the compiler turns this into vector instructions, so no unsafe code is needed.
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
        fn words_and_bytes_agree(key: [u8; 4], bytes: Vec<u8>, cut: usize) {
            let cut = cut % (bytes.len() + 1);
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();

            let mut actual = bytes;
            let next = apply(key, &mut actual[..cut]);
            apply(next, &mut actual[cut..]);

            prop_assert_eq!(actual, expected);
        }
    }
}
