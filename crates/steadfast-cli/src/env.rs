//! All environment variables. Nothing else in Steadfast reads the environment.
//!
//! `PORT`, `STEADFAST_ADDRESS`, `STEADFAST_DATA` and `STEADFAST_CONFIG` are the same as the arguments of these names.
//! `STEADFAST_LOG`, otherwise `RUST_LOG`, is the log filter, for example `debug` or `steadfast_gateway=debug`.
//! `STEADFAST_KEY` is the key of `call --login` and of `bridge`; no debug output shows it.
//! `XDG_RUNTIME_DIR` has the folder with the socket of `bridge`, and `NOTIFY_SOCKET` is where systemd is notified.
//! `TOXIPROXY_URL` is the URL of the HTTP API for the commands of `proxy`.
//! `NO_COLOR` (any non-empty value) disables colours.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use steadfast_toml::suggestion;

/// The variables that are read, `RUST_LOG` excepted, which belongs to others too.
const KNOWN: [&str; 7] = [
    "PORT",
    "STEADFAST_ADDRESS",
    "STEADFAST_DATA",
    "STEADFAST_CONFIG",
    "STEADFAST_LOG",
    "STEADFAST_KEY",
    "NO_COLOR",
];

/// The beginning of the names that belong to Steadfast.
const PREFIX: &str = "STEADFAST_";

/// The raw values; an empty variable counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) port: Option<OsString>,
    pub(crate) address: Option<OsString>,
    pub(crate) data: Option<OsString>,
    pub(crate) config: Option<OsString>,
    pub(crate) log: Option<OsString>,
    pub(crate) key: Option<KeyVariable>,
    pub(crate) toxiproxy_url: Option<OsString>,
    pub(crate) no_color: Option<OsString>,
    pub(crate) runtime_directory: Option<OsString>,
    pub(crate) notify_socket: Option<OsString>,
    /// The names with [`PREFIX`] that are not known, in alphabetical order.
    unknown: Vec<String>,
}

/// The value of `STEADFAST_KEY`.
pub(crate) struct KeyVariable(pub(crate) OsString);

impl fmt::Debug for KeyVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Environment {
    /// Returns a warning for each variable that has no effect although its name belongs to Steadfast.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|name| {
            let help = suggestion(name);
            format!("warning: the environment variable {name} has no effect: {help}")
        })
    }
}

/// Reads all variables.
pub(crate) fn read() -> Environment {
    Environment {
        port: variable("PORT"),
        address: variable("STEADFAST_ADDRESS"),
        data: variable("STEADFAST_DATA"),
        config: variable("STEADFAST_CONFIG"),
        log: variable("STEADFAST_LOG").or_else(|| variable("RUST_LOG")),
        key: variable("STEADFAST_KEY").map(KeyVariable),
        toxiproxy_url: variable("TOXIPROXY_URL"),
        no_color: variable("NO_COLOR"),
        runtime_directory: variable("XDG_RUNTIME_DIR"),
        notify_socket: variable("NOTIFY_SOCKET"),
        unknown: unknown(),
    }
}

/// The directories of the search path, and those of Debian's servers, which the search path of a user need not have.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let servers = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(servers).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "only this function reads a variable"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn unknown() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> = names
        .filter(|name| name.starts_with(PREFIX) && !KNOWN.contains(&name.as_str()))
        .collect();
    unknown.sort_unstable();
    unknown
}

/// The variable that was probably meant, or else all. Only the names without the prefix are compared: with it, all are
/// similar.
fn suggestion(unknown: &str) -> String {
    let name = unknown.trim_start_matches(PREFIX);
    let is_similar = |known: &&str| {
        let known = known.trim_start_matches(PREFIX);
        suggestion::help_if_similar(name, &[known]).is_some()
    };
    match KNOWN.into_iter().find(is_similar) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("one of: {}", KNOWN.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_show_the_key() {
        let environment = Environment {
            key: Some(KeyVariable("hidden".into())),
            ..Environment::default()
        };

        let shown = format!("{environment:?}");

        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn the_variable_that_was_meant_is_suggested() {
        for (unknown, expected) in [
            ("STEADFAST_PORT", "did you mean `PORT`?"),
            ("STEADFAST_ADDRESSES", "did you mean `STEADFAST_ADDRESS`?"),
            (
                "STEADFAST_CONFIGURATION",
                "did you mean `STEADFAST_CONFIG`?",
            ),
            (
                "STEADFAST_XYZ",
                "one of: PORT, STEADFAST_ADDRESS, STEADFAST_DATA, STEADFAST_CONFIG, STEADFAST_LOG, STEADFAST_KEY, NO_COLOR",
            ),
        ] {
            assert_eq!(suggestion(unknown), expected);
        }
    }
}
