//! Values that must not be empty: an empty text would pass for a setting and have no effect, or another one than its key.

use steadfast_toml::FileError;

use super::Table;
use crate::scenario::template::Template;

impl Table<'_> {
    /// A text that is not empty, as [`Self::text`] reads it. `example` is a value that the key could have.
    pub(in crate::scenario) fn filled_text(
        &self,
        key: &str,
        example: &str,
    ) -> Result<Option<String>, FileError> {
        let text = self.text(key)?;
        self.filled(key, text, example)
    }

    /// A text with placeholders that is not empty once its parameters are substituted.
    pub(in crate::scenario) fn filled_template(
        &self,
        key: &str,
        example: &str,
    ) -> Result<Option<Template>, FileError> {
        let template = self.template(key)?;
        self.filled(key, template, example)
    }

    fn filled<T: ToString>(
        &self,
        key: &str,
        text: Option<T>,
        example: &str,
    ) -> Result<Option<T>, FileError> {
        match text {
            Some(text) if text.to_string().is_empty() => {
                let help = format!("remove `{key}`, or write for example {key} = {example}");
                Err(self.error(key, "must not be empty".to_owned(), Some(help)))
            }
            Some(_) | None => Ok(text),
        }
    }

    /// A required text with placeholders that is not empty.
    pub(in crate::scenario) fn required_template(
        &self,
        key: &str,
        example: &str,
    ) -> Result<Template, FileError> {
        let text = self.required(key, self.template(key)?)?;
        if text.to_string().is_empty() {
            return Err(self.empty(key, example));
        }
        Ok(text)
    }

    /// The error for an empty text under a key that cannot be left out.
    pub(in crate::scenario) fn empty(&self, key: &str, example: &str) -> FileError {
        let help = format!("write for example {key} = {example}");
        self.error(key, "must not be empty".to_owned(), Some(help))
    }

    /// Rejects a list of names in which one is blank, and a text that contains none.
    pub(super) fn check_names(&self, key: &str, names: &[String]) -> Result<(), FileError> {
        let is_text = self.is_text(key);
        if names.iter().any(|name| name.trim().is_empty()) || (is_text && names.is_empty()) {
            let message = if is_text {
                "must not be empty"
            } else {
                "must not contain an empty name"
            };
            let help = format!("remove `{key}`, or write at least one name");
            return Err(self.error(key, message.to_owned(), Some(help)));
        }
        Ok(())
    }

    /// Rejects a table with an entry whose name is blank or contains one of these characters.
    pub(in crate::scenario) fn check_keys(&self, forbidden: &[char]) -> Result<(), FileError> {
        let is_invalid = |name: &String| name.trim().is_empty() || name.contains(forbidden);
        let Some(name) = self.keys().into_iter().find(is_invalid) else {
            return Ok(());
        };
        let message = if name.trim().is_empty() {
            "a name must not be empty".to_owned()
        } else {
            format!("invalid name `{name}`")
        };
        let help = format!("write `NAME = VALUE` in `{}`", self.key());
        Err(self.error(&name, message, Some(help)))
    }
}
