//! From the text of a configuration file to [`Config`], or to an error that names file, line, column and key.
//!
//! Keys are checked against the page of all keys before values are read, so that a mistyped one gets a suggestion.
//! What a value must be beyond its type is said by [`super::policy`]; [`Loaded::locate`] draws its errors too.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::reference::{self, Key};

/// A configuration and where it came from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    source: Option<Source>,
    /// Keys whose value came from elsewhere after the file was read.
    overruled: Vec<&'static str>,
}

/// The file that was read.
#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

/// Why a configuration was refused. The text is ready for people: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("failed to read the configuration file {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something that cannot be used.
    #[error("{0}")]
    Refused(Box<Problem>),
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `server.port`; empty when the file is no TOML at that place.
    pub key: String,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// The file, if the setting came from one.
    pub place: Option<Place>,
}

/// A place in a configuration file, with the lines around it ready for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The drawing.
    drawn: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => f.write_str(&place.drawn),
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

impl Loaded {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no TOML, or has a key or value that does not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    ///
    /// When it is no TOML, or has a key or value that does not exist.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let table = DeTable::parse(text).map_err(|error| source.refuse_toml(&error))?;
        source.check_keys(table.get_ref())?;
        let config = toml::from_str(text).map_err(|error| source.refuse_toml(&error))?;
        Ok(Self {
            config,
            source: Some(source),
            overruled: Vec::new(),
        })
    }

    /// Says that the value of this key does not come from the file, so that an error about it does not point there.
    pub fn overrule(&mut self, key: &'static str) -> &mut Config {
        self.overruled.push(key);
        &mut self.config
    }

    /// Turns a setting that a policy refused into an error that names its place in the file, if it came from one.
    pub(crate) fn locate(&self, key: &str, message: String) -> ConfigError {
        let span = self
            .source
            .as_ref()
            .filter(|_| !self.overruled.contains(&key))
            .and_then(|source| Some((source, source.value_span(key)?)));
        match span {
            Some((source, span)) => source.refuse(key, message, None, span),
            None => ConfigError::Refused(Box::new(Problem {
                key: key.to_owned(),
                message,
                help: None,
                place: None,
            })),
        }
    }
}

impl From<Config> for Loaded {
    /// A configuration that came from no file.
    fn from(config: Config) -> Self {
        Self {
            config,
            source: None,
            overruled: Vec::new(),
        }
    }
}

impl Source {
    fn check_keys(&self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (section, value) in table {
            let name: &str = section.get_ref();
            let keys: Vec<&Key> = reference::KEYS
                .iter()
                .filter(|key| key.section == name)
                .collect();
            if keys.is_empty() {
                let known = reference::sections();
                return Err(self.refuse_unknown(name, "section", name, &known, section.span()));
            }
            let Some(entries) = value.get_ref().as_table() else {
                let message = format!("`{name}` must be a section");
                let help = Some(format!("write [{name}] on a line of its own"));
                return Err(self.refuse(name, message, help, value.span()));
            };
            for entry in entries.keys() {
                let entry_name: &str = entry.get_ref();
                if !keys.iter().any(|key| key.name == entry_name) {
                    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
                    let full = format!("{name}.{entry_name}");
                    return Err(self.refuse_unknown(
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

    fn refuse_unknown(
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
        self.refuse(key, format!("unknown {what} `{name}`"), Some(help), span)
    }

    fn refuse_toml(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        let key = self.key_at(&span);
        // The parser's text may go on with hints on further lines; the first one says what is wrong.
        let message = error.message().lines().next().unwrap_or("not valid");
        // Names of types tell people nothing; what may be written does.
        let message = message.split(", expected u").next().unwrap_or(message);
        let known = reference::KEYS.iter().find(|known| known.full() == key);
        let help = known.map(|known| format!("write {}", known.values));
        self.refuse(&key, message.to_owned(), help, span)
    }

    fn refuse(
        &self,
        key: &str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) -> ConfigError {
        let (line, column) = self.position(span.start);
        let drawn = self.draw(key, &message, help.as_deref(), span);
        let place = Some(Place {
            path: self.path.clone(),
            line,
            column,
            drawn,
        });
        ConfigError::Refused(Box::new(Problem {
            key: key.to_owned(),
            message,
            help,
            place,
        }))
    }

    fn draw(&self, key: &str, message: &str, help: Option<&str>, span: Range<usize>) -> String {
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

    /// The key whose value covers this place; empty when there is none.
    fn key_at(&self, span: &Range<usize>) -> String {
        let found = reference::KEYS.iter().map(Key::full).find(|key| {
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

/// The known name that differs least, if it differs little.
fn suggestion<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below it, two names have little in common; the measure goes from 0 to 1.
    const SIMILAR: f64 = 0.75;
    let rated = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    rated
        .filter(|(similar, _)| *similar >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
