//! Texts that no debug output shows.

use std::fmt;

/// A token or the value of a header field. Its debug output is `***`.
///
/// ```
/// use steadfast_core::secret::Secret;
///
/// let token = Secret::new("token".to_owned());
/// assert_eq!(format!("{token:?}"), "***");
/// assert_eq!(token.expose(), "token");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_show_a_secret() {
        let secret = Secret::new("token".to_owned());

        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.expose(), "token");
    }
}
