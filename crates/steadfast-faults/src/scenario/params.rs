//! Parameters of a scenario: declared in the file, overridden by profiles and the command line, substituted for
//! `${name}`.
//!
//! The order is `[params]`, `[profile.default]`, each selected profile, then single values; later ones override earlier
//! ones.

use std::collections::BTreeMap;

use steadfast_toml::{FileError, Source, suggestion};
use toml::de::{DeTable, DeValue};

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

    fn to_text(&self) -> String {
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
        let mut params = Self::default();
        if let Some(declared) = root.get("params") {
            params.overlay("params", declared.get_ref(), source, declared.span())?;
        }
        let mut known: Vec<String> = params.values.keys().cloned().collect();
        let profiles = root.get("profile").and_then(|it| it.get_ref().as_table());
        let names: Vec<&str> = profiles
            .iter()
            .flat_map(|table| table.keys().map(|name| name.get_ref().as_ref()))
            .collect();
        let selected = options.profiles.iter().map(String::as_str);
        for (index, name) in ["default"].into_iter().chain(selected).enumerate() {
            let Some(profile) = profiles.and_then(|table| table.get(name)) else {
                if index == 0 {
                    continue;
                }
                let message = format!("`{name}` not found");
                let help = Some(suggestion::help(name, &names));
                return Err(FileError::without_location("profile", message, help));
            };
            let key = format!("profile.{name}");
            params.overlay(&key, profile.get_ref(), source, profile.span())?;
        }
        for table in profiles.iter().flat_map(|table| table.values()) {
            let table = table.get_ref().as_table();
            known.extend(
                table
                    .iter()
                    .flat_map(|table| table.keys().map(|name| name.get_ref().clone().into_owned())),
            );
        }
        for (name, value) in &options.params {
            if !known.contains(name) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let message = format!("`{name}` not found");
                let help = Some(suggestion::help(name, &known));
                return Err(FileError::without_location("params", message, help));
            }
            let value = Scalar::from_argument(value);
            params.values.insert(name.clone(), value);
        }
        Ok(params)
    }

    fn overlay(
        &mut self,
        key: &str,
        values: &DeValue<'_>,
        source: Source<'_>,
        span: std::ops::Range<usize>,
    ) -> Result<(), FileError> {
        let Some(table) = values.as_table() else {
            return Err(source.error_at(key, format!("`{key}` must be a table"), None, span));
        };
        for (name, value) in table {
            let full = format!("{key}.{}", name.get_ref());
            let Some(scalar) = Scalar::read(value.get_ref()) else {
                let message = "expected a string, a non-negative integer, true or false".to_owned();
                return Err(source.error_at(&full, message, None, value.span()));
            };
            self.values
                .insert(name.get_ref().clone().into_owned(), scalar);
        }
        Ok(())
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

    fn named(&self, name: &str) -> Result<&Scalar, Unset> {
        self.values.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
            Unset {
                name: name.to_owned(),
                help: suggestion::help(name, &known),
            }
        })
    }
}
