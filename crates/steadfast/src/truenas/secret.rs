//! Secrets of a client from files, so that they are in no argument, no environment and no source.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;

use crate::Secret;

/// The longest secret that is read from a file, in bytes.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Why a secret could not be read. It does not show the secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("failed to read the file of a secret")]
    File(#[source] io::Error),
    /// The file has more than 4,096 bytes.
    #[error("the file of a secret has more than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// The secret is empty.
    #[error("the secret is empty")]
    Empty,
}

/// Reads a secret from a file of up to 4,096 bytes; white space at its begin and end is not part of it.
///
/// # Errors
///
/// The file cannot be read, is empty or too long, or is not in UTF-8.
pub fn secret_from_file(path: impl AsRef<Path>) -> Result<Secret, SecretError> {
    let file = File::open(path).map_err(SecretError::File)?;
    let mut text = String::new();
    let mut file = file.take(SECRET_BYTES_MAX + 1);
    let bytes = file.read_to_string(&mut text).map_err(SecretError::File)?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > SECRET_BYTES_MAX) {
        return Err(SecretError::TooLong);
    }
    not_empty(text.trim())
}

fn not_empty(text: &str) -> Result<Secret, SecretError> {
    if text.is_empty() {
        return Err(SecretError::Empty);
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_the_white_space_around_it() {
        let directory =
            std::env::temp_dir().join(format!("steadfast-secret-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("key");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            secret_from_file(&path)
        };

        assert_eq!(read(" 7-key\n").unwrap().expose(), "7-key");
        assert!(matches!(read("\n"), Err(SecretError::Empty)));
        assert!(matches!(
            read(&"x".repeat(4_097)),
            Err(SecretError::TooLong)
        ));
        assert_eq!(read(&"x".repeat(4_096)).unwrap().expose().len(), 4_096);
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(secret_from_file(&path), Err(SecretError::File(_))));
    }
}
