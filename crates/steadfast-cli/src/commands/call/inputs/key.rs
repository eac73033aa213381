//! The key of a login: from a file, a file descriptor or the environment, never from an argument.

use std::borrow::Cow;
use std::fs::File;
use std::path::PathBuf;

use steadfast::Secret;

use super::params::limited;
use crate::args::call::Call;
use crate::commands::call::outcome::Problem;
use crate::env::Environment;

/// The longest key in bytes.
const BYTES_MAX: usize = 64 << 10;
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
    let (source, path) = match (&arguments.key_file, arguments.key_fd) {
        (Some(file), _) => (file.display().to_string(), file.clone()),
        (None, Some(0)) if arguments.params.as_deref() == Some("-") => {
            return Err(Problem::new(
                "standard input cannot be both the key and the params",
                "Read one of them from a file: --key-file FILE, or @FILE instead of -",
            ));
        }
        (None, Some(number)) => (
            format!("file descriptor {number}"),
            PathBuf::from(format!("/dev/fd/{number}")),
        ),
        (None, None) => return of_environment(environment).map(Some),
    };
    let read = File::open(path).map_err(|error| error.to_string());
    let bytes = read
        .and_then(|it| limited(it, BYTES_MAX))
        .map_err(|reason| {
            Problem::new(format!("cannot read the key from {source}: {reason}"), "")
        })?;
    let text = String::from_utf8(bytes)
        .map_err(|_error| Problem::new(format!("invalid key in {source}: it is not UTF-8"), ""))?;
    key(&text, &source).map(Some)
}

fn of_environment(environment: &Environment) -> Result<Secret, Problem> {
    let Some(variable) = &environment.key else {
        return Err(Problem::new(
            "--login requires a key",
            "Use --key-file FILE, --key-fd NUMBER or the environment variable STEADFAST_KEY.",
        ));
    };
    let source = "STEADFAST_KEY";
    match variable.0.to_str() {
        Some(text) => key(text, source),
        None => Err(Problem::new(
            format!("invalid key in {source}: it is not UTF-8"),
            "",
        )),
    }
}

/// The key without the line break that editors and `echo` add.
fn key(text: &str, source: &str) -> Result<Secret, Problem> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Problem::new(format!("the key in {source} is empty"), ""));
    }
    Ok(Secret::new(text.to_owned()))
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
    fn the_line_break_at_the_end_is_no_part_of_a_key() {
        for text in ["k y", "k y\n", "k y\r\n"] {
            assert_eq!(key(text, "a").unwrap().expose(), "k y");
        }
        assert_eq!(key("\n", "a").unwrap_err().reason, "the key in a is empty");
    }

    #[test]
    fn a_key_that_the_server_repeats_is_hidden_also_as_json() {
        let key = Secret::new("k\"1".to_owned());

        let shown = removed(Some(&key), "invalid k\"1, {\"key\":\"k\\\"1\"}");

        assert_eq!(shown, "invalid ***, {\"key\":\"***\"}");
    }
}
