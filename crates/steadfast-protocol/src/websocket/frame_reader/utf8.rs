//! Validates text that arrives in parts (RFC 3629).
//!
//! It keeps at most the first three bytes of a character; the reader of frames calls it.

/// The validation of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utf8Check {
    /// The bytes of the character at the end of the last part, if that is incomplete.
    incomplete: [u8; 3],
    len: u8,
}

impl Utf8Check {
    /// The validation of a text that has not begun.
    pub(super) const NEW: Self = Self {
        incomplete: [0; 3],
        len: 0,
    };

    /// Validates the next part. Returns how many of its bytes precede an invalid one, or `None` if it has none. At the
    /// end of the text, an incomplete character is invalid; it begins after the part.
    #[inline]
    pub(super) fn check(&mut self, part: &[u8], is_last: bool) -> Option<usize> {
        let Some(start) = self.complete(part) else {
            return Some(0);
        };
        let (_, rest) = part.split_at(start);
        if let Err(error) = str::from_utf8(rest) {
            if error.error_len().is_some() {
                return Some(start + error.valid_up_to());
            }
            let (_, character) = rest.split_at(error.valid_up_to());
            for byte in character {
                self.push(*byte);
            }
        }
        (is_last && self.len > 0).then_some(part.len())
    }

    /// Completes the incomplete character. Returns how many bytes of the part it took, or `None` if it is invalid.
    fn complete(&mut self, part: &[u8]) -> Option<usize> {
        let mut taken = 0;
        while self.len > 0
            && let Some(byte) = part.get(taken)
        {
            taken += 1;
            let kept = usize::from(self.len);
            let mut character = [0; 4];
            for (target, source) in character.iter_mut().zip(self.incomplete) {
                *target = source;
            }
            if let Some(next) = character.get_mut(kept) {
                *next = *byte;
            }
            let (character, _) = character.split_at(kept + 1);
            match str::from_utf8(character) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => self.push(*byte),
                Err(_) => return None,
            }
        }
        Some(taken)
    }

    fn push(&mut self, byte: u8) {
        if let Some(next) = self.incomplete.get_mut(usize::from(self.len)) {
            *next = byte;
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_split_between_any_two_bytes_is_valid_exactly_if_the_whole_is() {
        let texts: [&[u8]; 12] = [
            b"",
            b"plain",
            "a\u{e9}b".as_bytes(),
            "\u{20ac}\u{10348}".as_bytes(),
            b"\xff",
            b"a\xc3",
            b"a\xc3(",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98\x80\xf0\x80",
            b"\xc0\xaf",
            b"\xe2\x82\xac\xe2\x82",
        ];
        for text in texts {
            let expected = str::from_utf8(text).map_err(|error| error.valid_up_to());
            for split in 0..=text.len() {
                let (first, second) = text.split_at(split);
                let mut check = Utf8Check::NEW;
                let outcome = check
                    .check(first, false)
                    .map_or_else(|| check.check(second, true).map(|len| split + len), Some);

                assert_eq!(outcome.is_none(), expected.is_ok(), "{text:?} at {split}");
                if let (Some(returned), Err(valid)) = (outcome, expected) {
                    // The bytes of the character itself may have been returned, but nothing after it.
                    assert!(
                        (valid..valid + 4).contains(&returned),
                        "{text:?} at {split}"
                    );
                }
            }
        }
    }
}
