//! Why a file was rejected, in parts for programs and as a text for operators.
//!
//! An error with a location is created by [`crate::Source`], which has the text.

use std::fmt;

/// Why a file was rejected. The text names the problem, its location and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(Box<Problem>);

/// One invalid key or value of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `server.port`; empty when the text is not valid TOML.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
    /// The location in the file; `None` when the value has another source.
    pub location: Option<SourceLocation>,
}

/// A location in a file, with its line rendered for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The file name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    pub(crate) rendered: String,
}

impl FileError {
    /// An error without a location in a file: the value has another source, such as the command line.
    pub fn without_location(key: &str, message: String, help: Option<String>) -> Self {
        Self::new(Problem {
            key: key.to_owned(),
            message,
            help,
            location: None,
        })
    }

    pub(crate) fn new(problem: Problem) -> Self {
        Self(Box::new(problem))
    }

    /// The parts of the error.
    pub const fn problem(&self) -> &Problem {
        &self.0
    }
}

impl Problem {
    /// Returns the first line: the key and the message, or a message that names the key with its section itself.
    pub(crate) fn title(&self) -> String {
        let is_named = self.key.contains('.') && self.message.contains(&self.key);
        if is_named || self.key.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.key, self.message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            return f.write_str(&location.rendered);
        }
        f.write_str(&self.title())?;
        self.help
            .iter()
            .try_for_each(|help| write!(f, "\nhelp: {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_location_shows_key_message_and_help() {
        let error = |key, help: Option<&str>| {
            let help = help.map(str::to_owned);
            FileError::without_location(key, "not found".to_owned(), help).to_string()
        };

        assert_eq!(
            error("params", Some("one of: a, b")),
            "params: not found\nhelp: one of: a, b"
        );
        assert_eq!(error("", None), "not found");
        assert_eq!(
            FileError::without_location("a.b", "a.b is below c".to_owned(), None).to_string(),
            "a.b is below c"
        );
    }
}
