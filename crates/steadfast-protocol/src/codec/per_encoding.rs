//! Values that a shell creates once per encoding, such as the frame of a message to many receivers.

use super::Encoding;

/// At most one value for each [`Encoding`], created when the first receiver with this encoding needs it.
#[derive(Clone, Copy, Debug)]
pub struct PerEncoding<T> {
    json: Option<T>,
}

impl<T> Default for PerEncoding<T> {
    fn default() -> Self {
        Self { json: None }
    }
}

impl<T> PerEncoding<T> {
    /// Returns the value for this encoding; `create` is called once.
    pub fn get_or_insert_with(&mut self, encoding: Encoding, create: impl FnOnce() -> T) -> &T {
        let value = match encoding {
            Encoding::Json => &mut self.json,
        };
        value.get_or_insert_with(create)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_created_once_for_each_encoding() {
        let mut values = PerEncoding::default();
        let mut created = 0;

        for _ in 0..3 {
            let value = *values.get_or_insert_with(Encoding::Json, || {
                created += 1;
                created
            });
            assert_eq!(value, 1);
        }

        assert_eq!(created, 1);
    }
}
