//! All environment variables. Nothing else in Steadfast reads the environment.
//!
//! `PORT`, `STEADFAST_ADDRESS`, `STEADFAST_DATA` and `STEADFAST_CONFIG` are the same as the arguments of these names.
//! `STEADFAST_LOG`, otherwise `RUST_LOG`, is the log filter, for example `debug` or `steadfast_gateway=debug`.
//! `NO_COLOR` (any non-empty value) disables colours.

use std::ffi::OsString;

/// The raw values; an empty variable counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) port: Option<OsString>,
    pub(crate) address: Option<OsString>,
    pub(crate) data: Option<OsString>,
    pub(crate) config: Option<OsString>,
    pub(crate) log: Option<OsString>,
    pub(crate) no_color: Option<OsString>,
}

/// Reads all variables.
pub(crate) fn read() -> Environment {
    Environment {
        port: variable("PORT"),
        address: variable("STEADFAST_ADDRESS"),
        data: variable("STEADFAST_DATA"),
        config: variable("STEADFAST_CONFIG"),
        log: variable("STEADFAST_LOG").or_else(|| variable("RUST_LOG")),
        no_color: variable("NO_COLOR"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only this function reads the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
