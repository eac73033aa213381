//! Parses a configuration file; returns a [`Config`], or an error with file, line, column and key.
//!
//! Keys are checked against the table of all keys before values are read, so that a mistyped key gets a suggestion.
//! [`super::policy`] checks the ranges of values; [`LoadedConfig::locate`] renders the errors of that check too.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use steadfast_toml::{FileError, Source, suggestion};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::reference::{self, ConfigKey};

/// The key that selects the store, for [`LoadedConfig::override_key`].
pub const STORE_KIND: &str = "store.kind";

/// A configuration and its source.
#[derive(Clone, Debug, Default)]
pub struct LoadedConfig {
    /// The settings of the file, with the overrides applied.
    pub config: Config,
    source: Option<ConfigFile>,
    /// Keys whose value in the file was overridden, and by what.
    overridden: Vec<(&'static str, &'static str)>,
}

/// The file that was read.
#[derive(Clone, Debug)]
struct ConfigFile {
    /// The path as text, for errors.
    name: String,
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
    Invalid(FileError),
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
        let file = ConfigFile {
            name: path.to_string_lossy().into_owned(),
            text: text.to_owned(),
        };
        let table = file.source().table().map_err(ConfigError::Invalid)?;
        file.check_keys(table.get_ref())?;
        let config = toml::from_str(text).map_err(|error| file.reject_value(&error))?;
        Ok(Self {
            config,
            source: Some(file),
            overridden: Vec::new(),
        })
    }

    /// Marks the value of this key as overridden, so that an error about it names `origin`, for example "--shards", and
    /// not the file. Returns the configuration to change.
    pub fn override_key(&mut self, key: &'static str, origin: &'static str) -> &mut Config {
        self.overridden.push((key, origin));
        &mut self.config
    }

    /// Returns what overrides the value of this key in the file.
    fn overridden_by(&self, key: &str) -> Option<&'static str> {
        let mut overrides = self.overridden.iter().rev();
        overrides.find(|(name, _)| *name == key).map(|(_, by)| *by)
    }

    /// Returns the file, unless the value of this key comes from elsewhere.
    fn file_of(&self, key: &str) -> Option<&ConfigFile> {
        let file = self.source.as_ref()?;
        self.overridden_by(key).is_none().then_some(file)
    }

    /// Returns where the value of a key comes from: `steadfast.toml:2`, or what overrides the file; `None` for the default.
    pub(crate) fn origin(&self, key: &ConfigKey) -> Option<String> {
        let full = key.full();
        if let Some(by) = self.overridden_by(&full) {
            return Some(by.to_owned());
        }
        let file = self.source.as_ref()?;
        let (line, _) = file.source().position(file.value_span(&full)?.start);
        Some(format!("{}:{line}", file.name))
    }

    /// Returns the value of a key as it is written in a file, without quotes.
    pub(crate) fn value(&self, key: &ConfigKey) -> String {
        let settings = toml::Table::try_from(&self.config).unwrap_or_default();
        let section = settings.get(key.section).and_then(toml::Value::as_table);
        let value = section.and_then(|section| section.get(key.name));
        value.map_or_else(String::new, |value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
    }

    /// Rejects the first key of the file that has no effect, because the same file selects another kind of store.
    pub(crate) fn reject_keys_without_effect(&self) -> Result<(), ConfigError> {
        // A kind that overrides the one of the file is no mistake of the file.
        let Some(file) = self.file_of(STORE_KIND) else {
            return Ok(());
        };
        for key in reference::without_effect(self.config.store.kind) {
            if let Some(span) = file.key_span(key) {
                let message = "has no effect with this `kind` of store".to_owned();
                let help = Some("remove it, or set kind = \"segments\"".to_owned());
                return Err(file.reject(&key.full(), message, help, span));
            }
        }
        Ok(())
    }

    /// Creates an error about settings that the message names, located at the first of the keys that the file contains.
    pub(crate) fn reject_at(
        &self,
        keys: &[&'static ConfigKey],
        message: String,
        help: String,
    ) -> ConfigError {
        let in_file = keys.iter().find_map(|key| {
            let full = key.full();
            let file = self.file_of(&full)?;
            let span = file.value_span(&full)?;
            Some((full, file, span))
        });
        let help = Some(help);
        if let Some((key, file, span)) = in_file {
            return file.reject(&key, message, help, span);
        }
        let key = keys.first().map(|key| key.full()).unwrap_or_default();
        ConfigError::Invalid(FileError::without_location(&key, message, help))
    }

    /// Converts a setting that a policy rejected to an error. The error has a location if the setting was read from a
    /// file, and otherwise names what the value comes from.
    pub(crate) fn locate(&self, key: &str, message: String) -> ConfigError {
        let in_file = self
            .file_of(key)
            .and_then(|file| Some((file, file.value_span(key)?)));
        if let Some((file, span)) = in_file {
            return file.reject(key, message, None, span);
        }
        let message = match self.overridden_by(key) {
            Some(origin) => format!("{message} ({origin})"),
            None => message,
        };
        ConfigError::Invalid(FileError::without_location(key, message, None))
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

impl ConfigFile {
    fn source(&self) -> Source<'_> {
        Source {
            file: &self.name,
            text: &self.text,
        }
    }

    fn check_keys(&self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (section, value) in table {
            let name: &str = section.get_ref();
            let keys: Vec<&ConfigKey> = reference::KEYS
                .iter()
                .filter(|key| key.section == name)
                .collect();
            if keys.is_empty() {
                return Err(self.reject_section(name, value.get_ref(), section.span()));
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
                    if let Some(help) = reference::removed(name, entry_name) {
                        let message = format!("`{entry_name}` does not exist any more");
                        let help = Some(help.to_owned());
                        return Err(self.reject(&full, message, help, entry.span()));
                    }
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

    /// Rejects a name at the top level that is not that of a section; it may be that of a key without its section.
    fn reject_section(&self, name: &str, value: &DeValue<'_>, span: Range<usize>) -> ConfigError {
        let is_key = |key: &&ConfigKey| key.name == name && value.as_table().is_none();
        let places: Vec<String> = reference::KEYS
            .iter()
            .filter(is_key)
            .map(|key| format!("[{}] {name}", key.section))
            .collect();
        if places.is_empty() {
            return self.reject_unknown(name, "section", name, &reference::sections(), span);
        }
        let message = format!("the key `{name}` must be in its section");
        let help = format!(
            "{}: write the section on a line before the key",
            places.join(" or ")
        );
        self.reject(name, message, Some(help), span)
    }

    fn reject_unknown(
        &self,
        key: &str,
        what: &str,
        name: &str,
        known: &[&str],
        span: Range<usize>,
    ) -> ConfigError {
        let help = Some(suggestion::help(name, known));
        self.reject(key, format!("unknown {what} `{name}`"), help, span)
    }

    fn reject_value(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let key = self.key_at(&span);
        let message = steadfast_toml::summary(error);
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
        ConfigError::Invalid(self.source().error_at(key, message, help, span))
    }

    /// Returns the key whose value contains this span; empty when there is none.
    fn key_at(&self, span: &Range<usize>) -> String {
        let found = reference::KEYS.iter().map(ConfigKey::full).find(|key| {
            self.value_span(key)
                .is_some_and(|value| value.start <= span.start && span.end <= value.end)
        });
        found.unwrap_or_default()
    }

    fn key_span(&self, key: &ConfigKey) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let section: &DeValue<'_> = table.get_ref().get(key.section)?.get_ref();
        let mut names = section.as_table()?.keys();
        let name = names.find(|name| AsRef::<str>::as_ref(name.get_ref()) == key.name)?;
        Some(name.span())
    }

    fn value_span(&self, key: &str) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let (section, name) = key.split_once('.')?;
        let section: &DeValue<'_> = table.get_ref().get(section)?.get_ref();
        Some(section.as_table()?.get(name)?.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_earlier_version_is_rejected_with_what_to_do() {
        for key in ["commands_per_message_max", "fragments_max"] {
            let text = format!("[client]\n{key} = 1024\n");
            let error = LoadedConfig::parse(Path::new("a.toml"), &text).unwrap_err();

            let error = error.to_string();
            assert!(error.contains(&format!("client.{key}")), "{error}");
            assert!(error.contains("does not exist any more"), "{error}");
            assert!(error.contains("remove it: "), "{error}");
        }
    }

    #[test]
    fn a_syntax_error_says_what_is_expected_and_a_type_error_names_no_rust_type() {
        let error = |text| {
            let error = LoadedConfig::parse(Path::new("a.toml"), text).unwrap_err();
            error.to_string()
        };

        let syntax = error("[store]\ndirectory = \"\\uD800\"\n");
        let value = error("[server]\nport = 70000\n");

        assert!(
            syntax.starts_with("invalid value, expected unicode hexadecimal value\n"),
            "{syntax}"
        );
        assert!(value.starts_with("server.port: "), "{value}");
        assert!(!value.contains("u16"), "{value}");
    }
}
