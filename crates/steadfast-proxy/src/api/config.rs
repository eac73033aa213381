//! The file with the proxies of the start: the JSON array that `POST /populate` takes, read strictly.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use steadfast_toml::{FileError, Source};

use super::body::Unknown;
use super::error::ApiError;
use super::input::{self, InputError};
use super::operations::Operations;

/// The limit of a file: some thousand proxies with toxics.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why the proxies of a file were not created. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("failed to read the configuration file {}", path.display())]
    #[expect(missing_docs, reason = "the names describe the fields")]
    Unreadable { path: PathBuf, source: io::Error },
    /// The text is not valid, or a proxy of it cannot be started.
    #[error("{0}")]
    Invalid(FileError),
    /// Another process listens on the port of a proxy.
    #[error("{0}")]
    PortInUse(FileError),
}

/// Creates the proxies of a file, and returns their number.
pub(super) async fn populate(operations: &Operations, path: &Path) -> Result<usize, ConfigError> {
    let text = read(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let name = path.to_string_lossy();
    let source = Source {
        file: &name,
        text: &text,
    };
    let value = input::only_value(&text).map_err(|mut error| {
        error.message = format!("invalid JSON: {}", error.message);
        let error = error.with_help("the file is a JSON array of proxies, as in POST /populate");
        ConfigError::Invalid(located(source, &error))
    })?;
    let populated = operations.populate(value, Unknown::Rejected).await;
    match populated {
        Ok(proxies) => Ok(proxies.len()),
        Err(failure) => Err(config_error(source, failure.error)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
    let length = file.read_to_string(&mut text)?;
    if steadfast_machine::convert::to_u64(length) > FILE_BYTES_MAX {
        let limit = format!("the file is larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
    }
    Ok(text)
}

fn config_error(source: Source<'_>, error: ApiError) -> ConfigError {
    let is_port_in_use = error.is_port_in_use;
    let file_error = match error.input {
        Some(input) => located(source, &input),
        None => FileError::without_location("", error.text, None),
    };
    if is_port_in_use {
        ConfigError::PortInUse(file_error)
    } else {
        ConfigError::Invalid(file_error)
    }
}

fn located(source: Source<'_>, error: &InputError) -> FileError {
    let span = error.span(source.text);
    source.error_at("", error.message.clone(), error.help.clone(), span)
}
