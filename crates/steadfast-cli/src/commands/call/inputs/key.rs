//! The key of a login: whether the call has one, and that no message contains it.

use std::borrow::Cow;

use steadfast::Secret;

use crate::args::call::Call;
use crate::commands::call::outcome::Problem;
use crate::commands::key;
use crate::env::Environment;

/// What a message shows instead of the key.
const HIDDEN: &str = "***";

/// Reads the key; `None` without a login.
///
/// # Errors
///
/// There is no key for the login, or it cannot be read.
pub(super) fn read(arguments: &Call, environment: &Environment) -> Result<Option<Secret>, Problem> {
    if arguments.login.is_none() {
        return Ok(None);
    }
    let (file, descriptor) = (arguments.key_file.as_deref(), arguments.key_fd);
    let is_input = file.is_none() && descriptor == Some(0);
    if is_input && arguments.params.as_deref() == Some("-") {
        return Err(Problem::new(
            "standard input cannot be both the key and the params",
            "Read one of them from a file: --key-file FILE, or @FILE instead of -",
        ));
    }
    if file.is_none() && descriptor.is_none() && environment.key.is_none() {
        return Err(Problem::new("--login requires a key", key::SOURCES));
    }
    match key::read(file, descriptor, environment) {
        Ok(key) => Ok(Some(key)),
        Err(no_key) => Err(Problem::new(no_key.reason, no_key.hint)),
    }
}

/// Text of a server without the key, which it may repeat, as it is or as JSON.
pub(super) fn removed<'a>(key: Option<&Secret>, text: &'a str) -> Cow<'a, str> {
    let Some(key) = key.map(Secret::expose) else {
        return Cow::Borrowed(text);
    };
    let json = serde_json::Value::from(key).to_string();
    let json = json.trim_start_matches('"').trim_end_matches('"');
    if !text.contains(key) && !text.contains(json) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(key, HIDDEN).replace(json, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_server_repeats_is_hidden_also_as_json() {
        let key = Secret::new("k\"1".to_owned());

        let shown = removed(Some(&key), "invalid k\"1, {\"key\":\"k\\\"1\"}");

        assert_eq!(shown, "invalid ***, {\"key\":\"***\"}");
    }
}
