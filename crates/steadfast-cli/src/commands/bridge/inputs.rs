//! What the arguments name: the server, the key, the socket, the token. Everything is read before the bridge starts.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast::Endpoint;
use steadfast::error::BuildError;
use steadfast::truenas::{LoginBudgetSettings, LoginLimit};
use steadfast_bridge::{Key, Policy, Settings, Token, UpstreamSettings};

use crate::args::bridge::Bridge;
use crate::commands::key::{self, limited};
use crate::env::Environment;
use crate::exit::Failure;

/// The largest certificate file: authorities of a system together have less than 1 MiB.
const CA_BYTES_MAX: usize = 16 << 20;
/// The longest token in bytes.
const TOKEN_BYTES_MAX: usize = 4 << 10;

/// A bridge with valid arguments.
pub(super) struct Inputs {
    pub(super) settings: Settings,
    pub(super) upstream: UpstreamSettings,
}

/// Reads everything that the arguments name.
///
/// # Errors
///
/// An argument is invalid, or a file cannot be read.
pub(super) fn read(arguments: &Bridge, environment: &Environment) -> Result<Inputs, Failure> {
    if let Err(error) = arguments.url.parse::<Endpoint>() {
        let hint = "For example: steadfast bridge wss://nas.example/api/current --user admin --key-file FILE";
        return Err(Failure::usage(error.to_string(), hint));
    }
    let upstream = UpstreamSettings {
        url: arguments.url.clone(),
        user: arguments.user.clone(),
        key: read_key(arguments, environment)?,
        root_certificates: match &arguments.ca {
            Some(file) => content(file, "the certificates", CA_BYTES_MAX)?,
            None => Vec::new(),
        },
        login_limit: login_limit(arguments.logins_per_minute),
    };
    let settings = Settings {
        socket: socket(arguments, environment)?,
        listen: listen(arguments)?,
        policy: Policy {
            call_timeout: arguments.call_timeout,
            in_flight_max: arguments.in_flight,
            ..Policy::DEFAULT
        },
    };
    Ok(Inputs { settings, upstream })
}

/// What the client library does not accept.
pub(super) fn invalid_upstream(arguments: &Bridge, error: &BuildError) -> Failure {
    match &arguments.ca {
        Some(file) if matches!(error, BuildError::Certificate) => Failure::usage(
            format!("no certificate in {}, or an invalid one", file.display()),
            "--ca requires a file in PEM format, with -----BEGIN CERTIFICATE-----",
        ),
        Some(_) | None => Failure::failed(error.to_string(), ""),
    }
}

/// A file is read again later; now it is only checked.
fn read_key(arguments: &Bridge, environment: &Environment) -> Result<Key, Failure> {
    if let Some(file) = &arguments.key_file {
        let key = Key::File(file.clone());
        key.check().map_err(|reason| Failure::usage(reason, ""))?;
        return Ok(key);
    }
    let key = key::read(None, arguments.key_fd, environment)
        .map_err(|no_key| Failure::usage(no_key.reason, no_key.hint))?;
    Ok(Key::Fixed(key))
}

/// A login by SCRAM has two calls of one method, which the server counts.
fn login_limit(logins_per_minute: u32) -> LoginLimit {
    let calls = logins_per_minute.saturating_mul(2);
    LoginLimit::new(LoginBudgetSettings::new(calls, Duration::from_mins(1)))
}

/// The path of the socket. The folder of the default path is created, for this user only.
fn socket(arguments: &Bridge, environment: &Environment) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.socket {
        return Ok(path.clone());
    }
    let Some(directory) = &environment.runtime_directory else {
        return Err(Failure::usage(
            "no path for the socket: XDG_RUNTIME_DIR is not set",
            "Choose a path in a folder of this user: --socket PATH",
        ));
    };
    let folder = Path::new(directory).join("steadfast");
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let text = format!("cannot create {}: {error}", folder.display());
            Err(Failure::failed(text, "Choose another path: --socket PATH"))
        }
        Ok(()) | Err(_) => Ok(folder.join("bridge.sock")),
    }
}

fn listen(arguments: &Bridge) -> Result<Option<(SocketAddr, Token)>, Failure> {
    let (Some(address), Some(file)) = (arguments.listen, &arguments.token_file) else {
        return Ok(None);
    };
    let text = content(file, "the token", TOKEN_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&text);
    let token = Token::new(text.trim_end()).map_err(|reason| {
        Failure::usage(
            format!("invalid token in {}: {reason}", file.display()),
            "For example: head -c 24 /dev/urandom | base64 >TOKEN",
        )
    })?;
    Ok(Some((address, token)))
}

fn content(file: &Path, what: &str, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let opened = File::open(file).map_err(|error| error.to_string());
    opened
        .and_then(|it| limited(it, bytes_max))
        .map_err(|reason| {
            let text = format!("cannot read {what} in {}: {reason}", file.display());
            Failure::usage(text, "")
        })
}
