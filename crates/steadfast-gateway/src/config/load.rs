//! Parses a configuration file; returns a [`Config`], or an error with file, line, column and key.
//!
//! Keys are checked against the table of all keys before values are read, so that a mistyped key gets a suggestion.
//! [`super::policy`] checks the ranges of values; [`LoadedConfig::locate`] renders the errors of that check too.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::reference::{self, ConfigKey};

/// A configuration and its source.
#[derive(Clone, Debug, Default)]
pub struct LoadedConfig {
    /// The settings of the file, with the overrides applied.
    pub config: Config,
    source: Option<Source>,
    /// Keys whose value in the file was overridden.
    overridden: Vec<&'static str>,
}

/// The file that was read.
#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

/// Why a configuration is invalid. The text is complete and human-readable: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("failed to read the configuration file {}", path.display())]
    #[expect(missing_docs, reason = "the names describe the fields")]
    Unreadable { path: PathBuf, source: io::Error },
    /// A key or a value is invalid.
    #[error("{0}")]
    Invalid(Box<ConfigProblem>),
}

/// One invalid key or value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, for example `server.port`; empty when the file is not valid TOML at that position.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// The location of the setting, if it was read from a file.
    pub location: Option<SourceLocation>,
}

/// A location in a configuration file, with the excerpt rendered for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The path of the file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    rendered: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => f.write_str(&location.rendered),
            None if self.key.is_empty() => f.write_str(&self.message),
            None => {
                write!(f, "{}: {}", self.key, self.message)?;
                self.help
                    .iter()
                    .try_for_each(|help| write!(f, "\nhelp: {help}"))
            }
        }
    }
}

impl LoadedConfig {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not valid TOML, or has an unknown key or an invalid value.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses the text of a file; `path` is used in errors only.
    ///
    /// # Errors
    ///
    /// When the text is not valid TOML, or has an unknown key or an invalid value.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let table = DeTable::parse(text).map_err(|error| source.reject_toml(&error))?;
        source.check_keys(table.get_ref())?;
        let config = toml::from_str(text).map_err(|error| source.reject_toml(&error))?;
        Ok(Self {
            config,
            source: Some(source),
            overridden: Vec::new(),
        })
    }

    /// Marks the value of this key as overridden, so that an error about it does not refer to the file. Returns the
    /// configuration to change.
    pub fn override_key(&mut self, key: &'static str) -> &mut Config {
        self.overridden.push(key);
        &mut self.config
    }

    /// Converts a setting that a policy rejected to an error. The error has a location if the setting was read from a
    /// file.
    pub(crate) fn locate(&self, key: &str, message: String) -> ConfigError {
        let span = self
            .source
            .as_ref()
            .filter(|_| !self.overridden.contains(&key))
            .and_then(|source| Some((source, source.value_span(key)?)));
        match span {
            Some((source, span)) => source.reject(key, message, None, span),
            None => ConfigError::Invalid(Box::new(ConfigProblem {
                key: key.to_owned(),
                message,
                help: None,
                location: None,
            })),
        }
    }
}

impl From<Config> for LoadedConfig {
    /// Wraps a configuration that was not read from a file.
    fn from(config: Config) -> Self {
        Self {
            config,
            source: None,
            overridden: Vec::new(),
        }
    }
}

impl Source {
    fn check_keys(&self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (section, value) in table {
            let name: &str = section.get_ref();
            let keys: Vec<&ConfigKey> = reference::KEYS
                .iter()
                .filter(|key| key.section == name)
                .collect();
            if keys.is_empty() {
                let known = reference::sections();
                return Err(self.reject_unknown(name, "section", name, &known, section.span()));
            }
            let Some(entries) = value.get_ref().as_table() else {
                let message = format!("`{name}` must be a section");
                let help = Some(format!("write [{name}] on a separate line"));
                return Err(self.reject(name, message, help, value.span()));
            };
            for entry in entries.keys() {
                let entry_name: &str = entry.get_ref();
                if !keys.iter().any(|key| key.name == entry_name) {
                    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
                    let full = format!("{name}.{entry_name}");
                    return Err(self.reject_unknown(
                        &full,
                        "key",
                        entry_name,
                        &known,
                        entry.span(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn reject_unknown(
        &self,
        key: &str,
        what: &str,
        name: &str,
        known: &[&str],
        span: Range<usize>,
    ) -> ConfigError {
        let help = suggestion(name, known).map_or_else(
            || format!("one of: {}", known.join(", ")),
            |nearest| format!("did you mean `{nearest}`?"),
        );
        self.reject(key, format!("unknown {what} `{name}`"), Some(help), span)
    }

    fn reject_toml(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let key = self.key_at(&span);
        // The parser's text may continue with hints on further lines; the first line says what is wrong.
        let message = error.message().lines().next().unwrap_or("not valid");
        // Rust type names do not help operators; the help below lists the values that are valid.
        let message = message.split(", expected u").next().unwrap_or(message);
        let known = reference::KEYS.iter().find(|known| known.full() == key);
        let help = known.map(|known| format!("permitted: {}", known.values));
        self.reject(&key, message.to_owned(), help, span)
    }

    fn reject(
        &self,
        key: &str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) -> ConfigError {
        let (line, column) = self.position(span.start);
        let rendered = self.render(key, &message, help.as_deref(), span);
        let location = Some(SourceLocation {
            path: self.path.clone(),
            line,
            column,
            rendered,
        });
        ConfigError::Invalid(Box::new(ConfigProblem {
            key: key.to_owned(),
            message,
            help,
            location,
        }))
    }

    fn render(&self, key: &str, message: &str, help: Option<&str>, span: Range<usize>) -> String {
        let title = if key.is_empty() {
            message.to_owned()
        } else {
            format!("{key}: {message}")
        };
        let snippet = Snippet::source(self.text.as_str())
            .path(self.path.to_string_lossy())
            .annotation(AnnotationKind::Primary.span(span).label(message));
        let mut group = Level::ERROR
            .no_name()
            .primary_title(title.as_str())
            .element(snippet);
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }

    fn position(&self, byte: usize) -> (usize, usize) {
        let (before, _) = self.text.split_at(self.text.floor_char_boundary(byte));
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// Returns the key whose value contains this span; empty when there is none.
    fn key_at(&self, span: &Range<usize>) -> String {
        let found = reference::KEYS.iter().map(ConfigKey::full).find(|key| {
            self.value_span(key)
                .is_some_and(|value| value.start <= span.start && span.end <= value.end)
        });
        found.unwrap_or_default()
    }

    fn value_span(&self, key: &str) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let (section, name) = key.split_once('.')?;
        let section: &DeValue<'_> = table.get_ref().get(section)?.get_ref();
        Some(section.as_table()?.get(name)?.span())
    }
}

/// Returns the most similar known name, if it is similar enough.
fn suggestion<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// The least similarity of a suggestion; the measure ranges from 0 to 1.
    const SIMILAR: f64 = 0.75;
    let rated = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    rated
        .filter(|(similar, _)| *similar >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
