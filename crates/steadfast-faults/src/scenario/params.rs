//! Parameters of a scenario: declared in the file, overridden by profiles and the command line, substituted for
//! `${name}`.
//!
//! The order is `[params]`, each selected profile, then single values; later ones override earlier ones. `[params]`
//! declares every parameter, so that a misspelt name anywhere else is an error and not another parameter.

use std::collections::BTreeMap;
use std::ops::Range;

use steadfast_toml::{FileError, Source, suggestion};
use toml::de::{DeTable, DeValue};

use crate::scenario::template::Placeholder;

/// The key of a profile that replaces the scenario's description, and therefore no name of a parameter.
const ABOUT: &str = "about";

/// The options with which an operator runs a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScenarioOptions {
    /// The selected profiles, in order.
    pub profiles: Vec<String>,
    /// Names and values of parameters, in order.
    pub params: Vec<(String, String)>,
}

/// A string, an integer or a boolean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A string value.
    Text(String),
    /// A non-negative integer.
    Integer(u64),
    /// A boolean value.
    Flag(bool),
}

/// Every parameter that is set, with its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    values: BTreeMap<String, Scalar>,
    /// The description of the last selected profile that has one.
    about: Option<String>,
    /// The names of the services of the file, with which placeholders begin.
    services: Vec<String>,
}

/// A parameter is used but not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unset {
    pub(super) name: String,
    pub(super) help: String,
}

impl Scalar {
    pub(super) fn read(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::String(text) => Some(Self::Text(text.clone().into_owned())),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(Self::Integer),
            DeValue::Boolean(flag) => Some(Self::Flag(*flag)),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                None
            }
        }
    }

    fn from_argument(text: &str) -> Self {
        match text {
            "true" => Self::Flag(true),
            "false" => Self::Flag(false),
            _ => text
                .parse()
                .map_or_else(|_| Self::Text(text.to_owned()), Self::Integer),
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

impl Params {
    pub(super) fn read(
        root: &DeTable<'_>,
        source: Source<'_>,
        options: &ScenarioOptions,
    ) -> Result<Self, FileError> {
        let services = root.get("service").and_then(|it| it.get_ref().as_table());
        let names = services.into_iter().flat_map(DeTable::keys);
        let mut params = Self {
            services: names.map(|it| it.get_ref().clone().into_owned()).collect(),
            ..Self::default()
        };
        if let Some(declared) = root.get("params") {
            params.declare(declared.get_ref(), source, declared.span())?;
        }
        let profiles = match root.get("profile") {
            Some(profiles) => params.profiles(profiles.get_ref(), source, profiles.span())?,
            None => BTreeMap::new(),
        };
        for name in &options.profiles {
            let Some(profile) = profiles.get(name) else {
                let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
                return Err(not_found("profile", name, &known));
            };
            params.values.extend(profile.values.clone());
            params.about = profile.about.clone().or(params.about);
        }
        for (name, value) in &options.params {
            if !params.values.contains_key(name) {
                return Err(not_found("params", name, &params.names()));
            }
            let value = Scalar::from_argument(value);
            params.values.insert(name.clone(), value);
        }
        Ok(params)
    }

    /// The description that replaces that of the scenario.
    pub(super) fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Every parameter with its value as text.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let values = self.values.iter();
        values
            .map(|(name, value)| (name.clone(), value.to_text()))
            .collect()
    }

    fn declare(
        &mut self,
        values: &DeValue<'_>,
        source: Source<'_>,
        span: Range<usize>,
    ) -> Result<(), FileError> {
        for entry in entries("params", values, source, span)? {
            if entry.name == ABOUT {
                let message = format!("`{ABOUT}` is reserved for profiles");
                let help = Some("choose another name for the parameter".to_owned());
                return Err(source.error_at(&entry.key, message, help, entry.span));
            }
            self.values.insert(entry.name, entry.value);
        }
        Ok(())
    }

    /// Reads every profile, selected or not: a misspelt parameter must not wait until its profile is selected.
    fn profiles(
        &self,
        profiles: &DeValue<'_>,
        source: Source<'_>,
        span: Range<usize>,
    ) -> Result<BTreeMap<String, Self>, FileError> {
        let profiles = table("profile", profiles, source, span)?;
        let read = profiles.iter().map(|(name, profile)| {
            let name = name.get_ref().clone().into_owned();
            let overrides = self.profile(&name, profile.get_ref(), source, profile.span())?;
            Ok((name, overrides))
        });
        read.collect()
    }

    fn profile(
        &self,
        name: &str,
        profile: &DeValue<'_>,
        source: Source<'_>,
        span: Range<usize>,
    ) -> Result<Self, FileError> {
        let mut overrides = Self::default();
        for entry in entries(&format!("profile.{name}"), profile, source, span)? {
            if entry.name == ABOUT {
                overrides.about = Some(entry.value.to_text());
            } else if self.values.contains_key(&entry.name) {
                overrides.values.insert(entry.name, entry.value);
            } else {
                let message = format!("`{}` is not declared in [params]", entry.name);
                let help = Some(suggestion::help(&entry.name, &self.names()));
                return Err(source.error_at(&entry.key, message, help, entry.span));
            }
        }
        Ok(overrides)
    }

    fn names(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// Substitutes parameters. A text that is exactly one `${name}` becomes the parameter with its type.
    pub(super) fn resolve(&self, scalar: Scalar) -> Result<Scalar, Unset> {
        let text = match scalar {
            Scalar::Text(text) => text,
            Scalar::Integer(_) | Scalar::Flag(_) => return Ok(scalar),
        };
        let single = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
        if let Some(name) = single.filter(|name| !name.contains(['$', '}'])) {
            return self.named(name).cloned();
        }
        let mut done = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, remainder)) = after.split_once('}') else {
                break;
            };
            done.push_str(before);
            done.push_str(&self.named(name)?.to_text());
            rest = remainder;
        }
        done.push_str(rest);
        Ok(Scalar::Text(done))
    }

    /// Substitutes parameters, and leaves placeholders of instances as they are.
    pub(super) fn resolve_template(&self, text: &str) -> Result<String, Unset> {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, remainder)) = after.split_once('}') else {
                break;
            };
            done.push_str(before);
            let is_param = self.values.contains_key(name);
            if !is_param && Placeholder::is_placeholder(name, &self.services) {
                done.push_str("${");
                done.push_str(name);
                done.push('}');
            } else {
                done.push_str(&self.named(name)?.to_text());
            }
            rest = remainder;
        }
        // What remains has no further parameter, or is not closed, which the template reports.
        done.push_str(rest);
        Ok(done)
    }

    fn named(&self, name: &str) -> Result<&Scalar, Unset> {
        self.values.get(name).ok_or_else(|| Unset {
            name: name.to_owned(),
            help: suggestion::help(name, &self.names()),
        })
    }
}

/// One parameter of a table.
struct Entry {
    name: String,
    /// The full key, for example `profile.short.clients`.
    key: String,
    value: Scalar,
    /// The location of the key.
    span: Range<usize>,
}

fn entries(
    key: &str,
    values: &DeValue<'_>,
    source: Source<'_>,
    span: Range<usize>,
) -> Result<Vec<Entry>, FileError> {
    let read = table(key, values, source, span)?
        .iter()
        .map(|(name, value)| {
            let span = name.span();
            let name = name.get_ref().clone().into_owned();
            let key = format!("{key}.{name}");
            let scalar = Scalar::read(value.get_ref()).ok_or_else(|| {
                let message = "expected a string, a non-negative integer, true or false".to_owned();
                source.error_at(&key, message, None, value.span())
            })?;
            Ok(Entry {
                name,
                key,
                value: scalar,
                span,
            })
        });
    read.collect()
}

fn table<'a, 'b>(
    key: &str,
    value: &'a DeValue<'b>,
    source: Source<'_>,
    span: Range<usize>,
) -> Result<&'a DeTable<'b>, FileError> {
    value.as_table().ok_or_else(|| {
        let message = format!("`{key}` must be a table");
        source.error_at(key, message, None, span)
    })
}

fn not_found(key: &str, name: &str, known: &[&str]) -> FileError {
    let message = format!("`{name}` not found");
    FileError::without_location(key, message, Some(suggestion::help(name, known)))
}
