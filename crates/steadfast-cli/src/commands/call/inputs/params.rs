//! The params of a call: from the command line, standard input or a file.

use std::fs::File;
use std::io;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::commands::call::outcome::Problem;
use crate::commands::key::limited;

/// The largest params in bytes: with its envelope the call fits into the client's outbox of 8 MiB.
const BYTES_MAX: usize = (8 << 20) - (64 << 10);
/// A value that an error repeats has at most so many bytes.
const SHOWN_BYTES_MAX: usize = 60;

/// Reads the params; empty for none.
///
/// # Errors
///
/// They cannot be read, are no JSON, or neither an array nor an object.
pub(in crate::commands::call) fn read(argument: Option<&str>) -> Result<Bytes, Problem> {
    let Some(argument) = argument else {
        return Ok(Bytes::new());
    };
    let (source, read) = if argument == "-" {
        ("standard input", limited(io::stdin(), BYTES_MAX))
    } else if let Some(file) = argument.strip_prefix('@') {
        let opened = File::open(file).map_err(|error| error.to_string());
        (file, opened.and_then(|it| limited(it, BYTES_MAX)))
    } else {
        return check(argument, Some(argument.trim()), "");
    };
    let bytes = read.map_err(|reason| {
        Problem::new(format!("cannot read the params in {source}: {reason}"), "")
    })?;
    let text = String::from_utf8(bytes).map_err(|_error| {
        Problem::new(
            format!("invalid params in {source}: they are not UTF-8"),
            "",
        )
    })?;
    // The content of a file may be secret, so no error repeats it.
    check(&text, None, &format!(" in {source}"))
}

fn check(text: &str, shown: Option<&str>, place: &str) -> Result<Bytes, Problem> {
    let text = text.trim();
    if text.len() > BYTES_MAX {
        let reason = format!("invalid params{place}: longer than {BYTES_MAX} bytes");
        return Err(Problem::new(reason, ""));
    }
    let shown = shown.filter(|it| it.len() <= SHOWN_BYTES_MAX);
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        let hint = match shown {
            // A word without its quotes.
            Some(it) if it.chars().all(char::is_alphanumeric) && !it.is_empty() => {
                format!("For one text as the only param: '[\"{it}\"]'")
            }
            Some(_) | None => "For example: '[1, \"a\"]' or '{\"name\": \"a\"}'".to_owned(),
        };
        return Err(Problem::new(
            format!("invalid params{place}: not JSON: {error}"),
            hint,
        ));
    }
    if text.starts_with(['[', '{']) {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let hint = match shown {
        Some("null") => "To send no params, leave PARAMS out.".to_owned(),
        Some(value) => format!("For one value as the only param: '[{value}]'"),
        None => "For one value as the only param: [VALUE]".to_owned(),
    };
    let reason = format!("invalid params{place}: they must be an array or an object");
    Err(Problem::new(reason, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_are_sent_as_they_were_written() {
        for (written, sent) in [
            (None, ""),
            (Some("[1e400,  1.50]"), "[1e400,  1.50]"),
            (Some(" {\"a\":\n1} "), "{\"a\":\n1}"),
        ] {
            assert_eq!(read(written).unwrap(), sent);
        }
    }

    #[test]
    fn one_value_and_text_without_quotes_are_rejected_with_what_to_write() {
        for (written, hint) in [
            ("5", "For one value as the only param: '[5]'"),
            ("-5", "For one value as the only param: '[-5]'"),
            ("\"a\"", "For one value as the only param: '[\"a\"]'"),
            ("null", "To send no params, leave PARAMS out."),
            ("hello", "For one text as the only param: '[\"hello\"]'"),
            ("[1", "For example: '[1, \"a\"]' or '{\"name\": \"a\"}'"),
            ("", "For example: '[1, \"a\"]' or '{\"name\": \"a\"}'"),
        ] {
            assert_eq!(read(Some(written)).unwrap_err().hint, hint);
        }
    }
}
