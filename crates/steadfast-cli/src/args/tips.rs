//! Tips for commands that do not exist, by the names that other programs give them.

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Names that are not similar to a command, and what to write instead.
const OTHER_NAMES: &[(&[&str], &str)] = &[
    (
        &["start", "run", "gateway", "server", "up", "listen"],
        "to run the gateway: steadfast serve",
    ),
    (
        &["publish", "pub", "send", "produce"],
        "to publish: steadfast connect ws://127.0.0.1:8000 --publish CHANNEL JSON",
    ),
    (
        &["subscribe", "sub", "client", "consume", "watch"],
        "to subscribe: steadfast connect ws://127.0.0.1:8000 --subscribe CHANNEL",
    ),
    (
        &["rpc", "jsonrpc", "json-rpc", "request", "invoke"],
        "to call a method of a JSON-RPC server: steadfast call URL METHOD [PARAMS]",
    ),
    (
        &["daemon", "truenas", "share", "multiplex"],
        "to share a session to a TrueNAS server between programs: steadfast bridge URL",
    ),
    (
        &["verify", "backup", "restore", "repair", "forget"],
        "to maintain a log: steadfast log verify|backup|restore|repair|forget",
    ),
    (
        &["config", "configuration"],
        "to print the configuration: steadfast serve --print-config",
    ),
    (&["version"], "to print the version: steadfast --version"),
];

/// Adds the tip for a command that does not exist.
pub(super) fn add(mut error: Error) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let found = OTHER_NAMES
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()));
    if let Some((_, tip)) = found {
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(*tip)]);
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}
