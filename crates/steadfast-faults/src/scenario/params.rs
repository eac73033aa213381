//! Parameters of a scenario: declared in the file, overlaid by profiles and by the command line, put in for `${name}`.
//!
//! The order is `[params]`, `[profile.default]`, each profile that was asked for, then single values; later ones win.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::scenario::problem::{ScenarioError, Source, instead};

/// What whoever runs a scenario chooses about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Profiles, in order.
    pub profiles: Vec<String>,
    /// Parameters and their values, in order.
    pub params: Vec<(String, String)>,
}

/// A value without structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A string.
    Text(String),
    /// A whole number from 0 on.
    Integer(u64),
    /// True or false.
    Flag(bool),
}

/// Every parameter that is set, and its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    values: BTreeMap<String, Scalar>,
}

/// A parameter is used that is not set anywhere.
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

    fn from_typed(text: &str) -> Self {
        match text {
            "true" => Self::Flag(true),
            "false" => Self::Flag(false),
            _ => text
                .parse()
                .map_or_else(|_| Self::Text(text.to_owned()), Self::Integer),
        }
    }

    fn put_in(&self) -> String {
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
        choice: &Choice,
    ) -> Result<Self, ScenarioError> {
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
        let asked = choice.profiles.iter().map(String::as_str);
        for (place, name) in ["default"].into_iter().chain(asked).enumerate() {
            let Some(profile) = profiles.and_then(|table| table.get(name)) else {
                if place == 0 {
                    continue;
                }
                let message = format!("there is no profile `{name}`");
                let help = Some(instead(name, &names));
                return Err(ScenarioError::placeless("profile", message, help));
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
        for (name, value) in &choice.params {
            if !known.contains(name) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let message = format!("there is no parameter `{name}`");
                let help = Some(instead(name, &known));
                return Err(ScenarioError::placeless("params", message, help));
            }
            let value = Scalar::from_typed(value);
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
    ) -> Result<(), ScenarioError> {
        let Some(table) = values.as_table() else {
            return Err(source.refuse(key, format!("`{key}` must be a table"), None, span));
        };
        for (name, value) in table {
            let full = format!("{key}.{}", name.get_ref());
            let Some(scalar) = Scalar::read(value.get_ref()) else {
                let message = "a parameter is a string, a whole number, true or false".to_owned();
                return Err(source.refuse(&full, message, None, value.span()));
            };
            self.values
                .insert(name.get_ref().clone().into_owned(), scalar);
        }
        Ok(())
    }

    /// Puts parameters in. A text that is exactly one `${name}` becomes the parameter with its type.
    pub(super) fn resolve(&self, scalar: Scalar) -> Result<Scalar, Unset> {
        let text = match scalar {
            Scalar::Text(text) => text,
            Scalar::Integer(_) | Scalar::Flag(_) => return Ok(scalar),
        };
        let whole = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
        if let Some(name) = whole.filter(|name| !name.contains(['$', '}'])) {
            return self.named(name).cloned();
        }
        let mut done = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                break;
            };
            done.push_str(before);
            done.push_str(&self.named(name)?.put_in());
            rest = behind;
        }
        done.push_str(rest);
        Ok(Scalar::Text(done))
    }

    fn named(&self, name: &str) -> Result<&Scalar, Unset> {
        self.values.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
            Unset {
                name: name.to_owned(),
                help: instead(name, &known),
            }
        })
    }
}
