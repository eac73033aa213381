//! One table of a scenario file: typed reads with locations, so that every error names file, line and key.
//!
//! Parameters are substituted on reading. Values are not interpreted beyond their type.

mod filled;

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use steadfast_toml::{FileError, Source, suggestion};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::scenario::params::{Params, Scalar, Unset};
use crate::scenario::template::Template;
use crate::scenario::units;

const DURATION: &str = "a duration such as \"200ms\", \"5s\" or \"10m\"";

/// The context that all tables of a file share.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) source: Source<'a>,
    pub(super) params: Params,
}

/// A table with its full key.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    file: &'a File<'a>,
    /// Empty for the root table.
    key: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(super) const fn root(file: &'a File<'a>, entries: &'a DeTable<'a>) -> Self {
        Self {
            file,
            key: String::new(),
            span: 0..0,
            entries,
        }
    }

    /// The full key of the table.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The name of its file.
    pub(super) const fn file_name(&self) -> &str {
        self.file.source.file
    }

    /// Rejects unknown keys.
    pub(super) fn allow(&self, known: &[&str]) -> Result<(), FileError> {
        let unknown = self
            .entries
            .keys()
            .find(|name| !known.contains(&name.get_ref().as_ref()));
        let Some(name) = unknown else { return Ok(()) };
        let message = format!("unknown key `{}`", name.get_ref());
        let help = Some(suggestion::help(name.get_ref(), known));
        let key = self.full(name.get_ref());
        Err(self.file.source.error_at(&key, message, help, name.span()))
    }

    /// Every table under this key, with its name.
    pub(super) fn named(&self, key: &str) -> Result<Vec<(String, Self)>, FileError> {
        let Some(parent) = self.entries.get(key) else {
            return Ok(Vec::new());
        };
        let full = self.full(key);
        let parent = self.nested(full, parent)?;
        let tables = parent.entries.iter().map(|(name, value)| {
            let name = name.get_ref().clone().into_owned();
            let table = parent.nested(parent.full(&name), value)?;
            Ok((name, table))
        });
        tables.collect()
    }

    /// Every table of a list, `[[key]]` in the file; their full keys are `key.1`, `key.2` and so on.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Self>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(Vec::new());
        };
        let Some(items) = value.get_ref().as_array() else {
            let help = Some(format!("write [[{key}]] on a separate line"));
            return Err(self.error(key, format!("`{key}` must be a list of tables"), help));
        };
        let tables = items.iter().zip(1..).map(|(item, number): (_, usize)| {
            self.nested(format!("{}.{number}", self.full(key)), item)
        });
        tables.collect()
    }

    /// The table under this key.
    pub(super) fn table(&self, key: &str) -> Result<Option<Self>, FileError> {
        let value = self.entries.get(key);
        value
            .map(|value| self.nested(self.full(key), value))
            .transpose()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        match self.scalar(key)? {
            None => Ok(None),
            Some(Scalar::Text(text)) => Ok(Some(text)),
            Some(Scalar::Integer(_) | Scalar::Flag(_)) => Err(self.expected(key, "a string")),
        }
    }

    /// The names of a list of strings, or of one string with commas, which may be a parameter.
    pub(super) fn names(&self, key: &str) -> Result<Option<Vec<String>>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(None);
        };
        let Some(items) = value.get_ref().as_array() else {
            let text = self.text(key)?.unwrap_or_default();
            let names = text.split(',').map(str::trim).filter(|it| !it.is_empty());
            let names: Vec<String> = names.map(str::to_owned).collect();
            self.check_names(key, &names)?;
            return Ok(Some(names));
        };
        let texts = items.iter().map(|item| match Scalar::read(item.get_ref()) {
            Some(Scalar::Text(text)) => Some(text),
            Some(Scalar::Integer(_) | Scalar::Flag(_)) | None => None,
        });
        let names = texts.collect::<Option<Vec<String>>>();
        let names = names.ok_or_else(|| self.expected(key, "a list of strings"))?;
        self.check_names(key, &names)?;
        Ok(Some(names))
    }

    fn is_text(&self, key: &str) -> bool {
        let value = self.entries.get(key).map(Spanned::get_ref);
        value.is_some_and(|value| value.as_str().is_some())
    }

    /// A list of numbers, or what [`Self::names`] reads.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<String>>, FileError> {
        let items = self.entries.get(key).and_then(|it| it.get_ref().as_array());
        let read = |item: &Spanned<DeValue<'_>>| match Scalar::read(item.get_ref()) {
            Some(Scalar::Integer(number)) => Some(number.to_string()),
            Some(Scalar::Text(_) | Scalar::Flag(_)) | None => None,
        };
        match items.map(|items| items.iter().map(read).collect()) {
            Some(Some(numbers)) => Ok(Some(numbers)),
            Some(None) | None => self.names(key),
        }
    }

    /// A list of strings, in which parameters are substituted.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(None);
        };
        let items = value.get_ref().as_array();
        let items = items.ok_or_else(|| self.expected(key, "a list of strings"))?;
        let texts = items.iter().map(|item| {
            let scalar = Scalar::read(item.get_ref());
            let scalar = scalar.ok_or_else(|| self.expected(key, "a list of strings"))?;
            Ok(self.resolve(key, scalar)?.to_text())
        });
        texts.collect::<Result<_, FileError>>().map(Some)
    }

    /// Every entry of this table as a text, with its name.
    pub(super) fn all_texts(&self) -> Result<Vec<(String, String)>, FileError> {
        let names = self.entries.keys().map(|name| name.get_ref().as_ref());
        let entries = names.map(|name| {
            let scalar = self.scalar(name)?;
            let text = scalar.map(|scalar| scalar.to_text()).unwrap_or_default();
            Ok((name.to_owned(), text))
        });
        entries.collect()
    }

    /// A text that another place of the file provides for this key, with its parameters substituted.
    pub(super) fn substituted(&self, key: &str, text: &str) -> Result<String, FileError> {
        let scalar = self.resolve(key, Scalar::Text(text.to_owned()))?;
        Ok(scalar.to_text())
    }

    /// A text with placeholders.
    pub(super) fn template(&self, key: &str) -> Result<Option<Template>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(None);
        };
        match Scalar::read(value.get_ref()) {
            Some(Scalar::Text(text)) => self.parse_template(key, &text).map(Some),
            Some(Scalar::Integer(_) | Scalar::Flag(_)) | None => {
                Err(self.expected(key, "a string"))
            }
        }
    }

    /// A list of texts with placeholders; an integer is its digits.
    pub(super) fn templates(&self, key: &str) -> Result<Option<Vec<Template>>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(None);
        };
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.expected(key, "a list of strings"));
        };
        let texts = items.iter().map(|item| match Scalar::read(item.get_ref()) {
            Some(Scalar::Text(text)) => self.parse_template(key, &text),
            Some(Scalar::Integer(number)) => Ok(Template::literal(number.to_string())),
            Some(Scalar::Flag(_)) | None => Err(self.expected(key, "a list of strings")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    fn parse_template(&self, key: &str, text: &str) -> Result<Template, FileError> {
        let text = self.file.params.resolve_template(text);
        let text = text.map_err(|unset| self.unset(key, unset))?;
        Template::parse(&text).map_err(|message| self.error(key, message, None))
    }

    /// The names of all keys of the table.
    pub(super) fn keys(&self) -> Vec<String> {
        let names = self.entries.keys();
        names.map(|it| it.get_ref().clone().into_owned()).collect()
    }

    /// An integer, or `None` for the word.
    pub(super) fn number_or(&self, key: &str, word: &str) -> Result<Option<u64>, FileError> {
        match self.scalar(key)? {
            Some(Scalar::Integer(number)) => Ok(Some(number)),
            Some(Scalar::Text(text)) if text == word => Ok(None),
            Some(Scalar::Text(_) | Scalar::Flag(_)) | None => {
                Err(self.expected(key, &format!("\"{word}\" or an integer")))
            }
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, FileError> {
        match self.scalar(key)? {
            None => Ok(None),
            Some(Scalar::Flag(flag)) => Ok(Some(flag)),
            Some(Scalar::Integer(_) | Scalar::Text(_)) => Err(self.expected(key, "true or false")),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, FileError> {
        match self.scalar(key)? {
            None => Ok(None),
            Some(Scalar::Integer(number)) => Ok(Some(number)),
            Some(Scalar::Text(_) | Scalar::Flag(_)) => {
                Err(self.expected(key, "a non-negative integer"))
            }
        }
    }

    /// An integer within bounds.
    pub(super) fn count(
        &self,
        key: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, FileError> {
        let Some(number) = self.number(key)? else {
            return Ok(None);
        };
        let count = u32::try_from(number).ok().filter(|it| bounds.contains(it));
        count.map(Some).ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            self.error(
                key,
                format!("must be {low} to {high}, found {number}"),
                None,
            )
        })
    }

    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>, FileError> {
        match self.scalar(key)? {
            None => Ok(None),
            Some(Scalar::Text(text)) => units::duration(&text)
                .map(Some)
                .ok_or_else(|| self.expected(key, DURATION)),
            Some(Scalar::Integer(_) | Scalar::Flag(_)) => Err(self.expected(key, DURATION)),
        }
    }

    pub(super) fn percent(&self, key: &str) -> Result<Option<u32>, FileError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        units::percent(&text)
            .map(Some)
            .ok_or_else(|| self.expected(key, "a percentage such as \"50%\""))
    }

    /// A percentage; `None` if the value is an integer or missing.
    pub(super) fn percent_if_text(&self, key: &str) -> Result<Option<u32>, FileError> {
        let percent = match self.scalar(key)? {
            None | Some(Scalar::Integer(_)) => return Ok(None),
            Some(Scalar::Text(text)) => units::percent(&text),
            Some(Scalar::Flag(_)) => None,
        };
        percent
            .map(Some)
            .ok_or_else(|| self.expected(key, "an integer, or a percentage such as \"50%\""))
    }

    /// A rate in bytes per second, above 0.
    pub(super) fn rate(&self, key: &str) -> Result<Option<u64>, FileError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let rate = units::rate(&text).filter(|rate| *rate > 0);
        rate.map(Some)
            .ok_or_else(|| self.expected(key, "a rate such as \"256kbit/s\" or \"64KiB/s\""))
    }

    /// The value for one of the permitted names.
    pub(super) fn one_of<T: Copy>(
        &self,
        key: &str,
        known: &[(&str, T)],
    ) -> Result<Option<T>, FileError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match known.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(self.unknown(key, &text, known)),
        }
    }

    /// The error for a name that its key does not permit.
    pub(super) fn unknown<T>(&self, key: &str, text: &str, known: &[(&str, T)]) -> FileError {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.error(
            key,
            format!("unknown value `{text}`"),
            Some(suggestion::help(text, &names)),
        )
    }

    /// The value, or an error because the key is missing.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, FileError> {
        value.ok_or_else(|| {
            let message = format!("missing key `{key}`");
            self.file
                .source
                .error_at(&self.full(key), message, None, self.span.clone())
        })
    }

    /// An error at the value of this key, or at the table when the key is absent or empty.
    pub(super) fn error(&self, key: &str, message: String, help: Option<String>) -> FileError {
        let span = self
            .entries
            .get(key)
            .map_or_else(|| self.span.clone(), Spanned::span);
        self.file
            .source
            .error_at(&self.full(key), message, help, span)
    }

    fn expected(&self, key: &str, what: &str) -> FileError {
        let found = self.entries.get(key).map(Spanned::get_ref);
        let from = match found.and_then(Scalar::read) {
            Some(Scalar::Text(text)) if text.contains("${") => format!(" (from {text})"),
            Some(Scalar::Text(_) | Scalar::Integer(_) | Scalar::Flag(_)) | None => String::new(),
        };
        self.error(key, format!("expected {what}{from}"), None)
    }

    fn scalar(&self, key: &str) -> Result<Option<Scalar>, FileError> {
        let Some(value) = self.entries.get(key) else {
            return Ok(None);
        };
        let Some(scalar) = Scalar::read(value.get_ref()) else {
            let message = "expected a string, a non-negative integer, true or false".to_owned();
            return Err(self.error(key, message, None));
        };
        self.resolve(key, scalar).map(Some)
    }

    fn resolve(&self, key: &str, scalar: Scalar) -> Result<Scalar, FileError> {
        let resolved = self.file.params.resolve(scalar);
        resolved.map_err(|unset| self.unset(key, unset))
    }

    fn unset(&self, key: &str, unset: Unset) -> FileError {
        let message = format!("parameter `{}` is not set", unset.name);
        self.error(key, message, Some(unset.help))
    }

    fn nested(&self, key: String, value: &'a Spanned<DeValue<'a>>) -> Result<Self, FileError> {
        let Some(entries) = value.get_ref().as_table() else {
            let message = format!("`{key}` must be a table");
            let help = Some(format!("write [{key}] on a separate line"));
            return Err(self.file.source.error_at(&key, message, help, value.span()));
        };
        Ok(Self {
            file: self.file,
            key,
            span: value.span(),
            entries,
        })
    }

    fn full(&self, key: &str) -> String {
        if self.key.is_empty() {
            key.to_owned()
        } else if key.is_empty() {
            self.key.clone()
        } else {
            format!("{}.{key}", self.key)
        }
    }
}
