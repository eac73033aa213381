//! Keys that commands log in with: from a file, a file descriptor or the environment, never from an argument.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use steadfast::Secret;

use crate::env::Environment;

/// The longest key in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Where a key can come from.
pub(super) const SOURCES: &str =
    "Use --key-file FILE, --key-fd NUMBER or the environment variable STEADFAST_KEY.";

/// Why there is no key, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoKey {
    pub(super) reason: String,
    /// Empty if the reason says it.
    pub(super) hint: &'static str,
}

/// Reads the key from the file, otherwise from the descriptor, otherwise from the environment.
///
/// # Errors
///
/// There is no key, it cannot be read, or it is no text.
pub(super) fn read(
    file: Option<&Path>,
    descriptor: Option<u32>,
    environment: &Environment,
) -> Result<Secret, NoKey> {
    let (source, path) = match (file, descriptor) {
        (Some(file), _) => (file.display().to_string(), file.to_owned()),
        (None, Some(number)) => (
            format!("file descriptor {number}"),
            PathBuf::from(format!("/dev/fd/{number}")),
        ),
        (None, None) => return of_environment(environment),
    };
    let read = File::open(path).map_err(|error| error.to_string());
    let bytes = read
        .and_then(|it| limited(it, BYTES_MAX))
        .map_err(|reason| no_key(format!("cannot read the key from {source}: {reason}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_error| no_key(format!("invalid key in {source}: it is not UTF-8")))?;
    key(&text, &source)
}

fn of_environment(environment: &Environment) -> Result<Secret, NoKey> {
    let Some(variable) = &environment.key else {
        return Err(NoKey {
            reason: "the login requires a key".to_owned(),
            hint: SOURCES,
        });
    };
    let source = "STEADFAST_KEY";
    match variable.0.to_str() {
        Some(text) => key(text, source),
        None => Err(no_key(format!("invalid key in {source}: it is not UTF-8"))),
    }
}

/// The key without the line break that editors and `echo` add.
fn key(text: &str, source: &str) -> Result<Secret, NoKey> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(no_key(format!("the key in {source} is empty")));
    }
    Ok(Secret::new(text.to_owned()))
}

const fn no_key(reason: String) -> NoKey {
    NoKey { reason, hint: "" }
}

/// Reads at most this number of bytes.
pub(super) fn limited(source: impl Read, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = steadfast_machine::convert::to_u64(bytes_max).saturating_add(1);
    let read = source.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() > bytes_max {
        return Err(format!("longer than {bytes_max} bytes"));
    }
    Ok(bytes)
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
    fn a_source_above_the_limit_is_rejected() {
        assert_eq!(limited(&b"123"[..], 3), Ok(b"123".to_vec()));
        let error = limited(&b"1234"[..], 3).unwrap_err();
        assert_eq!(error, "longer than 3 bytes");
    }
}
