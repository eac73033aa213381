//! Settings that contradict each other: an error that names each of them with its value and its source.

use super::keys::SettingSource;
use super::load::{ConfigError, LoadedConfig};
use super::reference::ConfigKey;

/// Two settings, each valid alone, and what the first must be in relation to the second.
#[derive(Clone, Debug)]
pub(crate) struct Contradiction {
    pub(crate) keys: [&'static ConfigKey; 2],
    /// What the first must be, before the second is named, for example "must be below".
    pub(crate) requirement: String,
    /// What to change.
    pub(crate) help: String,
}

impl Contradiction {
    /// Creates the error. It is located at the first of the two keys that the file contains.
    pub(crate) fn into_error(self, loaded: &LoadedConfig) -> ConfigError {
        let [first, second] = self.keys;
        let value = loaded.value(first);
        let subject = match loaded.origin(first) {
            Some(origin) => format!("{} = {value} ({origin})", first.full()),
            None => format!("{} is {value} by default, and", first.full()),
        };
        let message = format!(
            "{subject} {} {}",
            self.requirement,
            assigned(loaded, second)
        );
        loaded.reject_at(&self.keys, message, self.help)
    }
}

/// Returns a setting with its value and its source: `client.ping_interval = 5s (steadfast.toml:2)`.
pub(crate) fn assigned(loaded: &LoadedConfig, key: &ConfigKey) -> String {
    let origin = loaded.origin(key);
    format!(
        "{} = {} ({})",
        key.full(),
        loaded.value(key),
        origin.as_deref().unwrap_or("default")
    )
}

/// Returns the error for one setting that is out of its range.
pub(crate) fn out_of_range(
    loaded: &LoadedConfig,
    source: SettingSource,
    expected: &str,
) -> ConfigError {
    loaded.locate(&source.to_string(), format!("must be {expected}"))
}
