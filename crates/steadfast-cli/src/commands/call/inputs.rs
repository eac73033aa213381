//! What the arguments name: the URL, the params, the certificates, the key. Everything is read and checked before the
//! client connects.

mod key;
pub(super) mod params;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use steadfast::dialect::Dialect as _;
use steadfast::jsonrpc::{
    Class, Client, Driver, ErrorObject, JsonRpc, LoginCall, LoginRequest, LoginVerdict,
};
use steadfast::retry_advice::{Action, RetryAdvice};
use steadfast::{Endpoint, Secret};

use super::outcome::Problem;
use super::{BACKOFF, CLOSE_TIMEOUT};
use crate::args::call::{Call, CallClass};
use crate::commands::key::limited;
use crate::env::Environment;
use crate::output::{self, escape};

/// The largest certificate file: authorities of a system together have less than 1 MiB.
const CA_BYTES_MAX: usize = 16 << 20;

/// A call with valid arguments.
pub(super) struct Request {
    pub(super) endpoint: Endpoint,
    pub(super) method: String,
    /// Raw JSON; empty for none.
    pub(super) params: Bytes,
    pub(super) class: Class,
    pub(super) timeout: Duration,
    /// The login method, if there is one.
    pub(super) login: Option<String>,
    pub(super) is_verbose: bool,
    key: Option<Secret>,
}

impl Request {
    /// Whether calling the method twice does no harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.class != Class::Write
    }

    /// Text that may be from the server, without the key, and safe for a terminal.
    pub(super) fn shown(&self, text: &str) -> String {
        escape::text(&key::removed(self.key.as_ref(), text))
    }

    /// An error of the server, in which the key could be repeated.
    pub(super) fn without_key(&self, error: ErrorObject) -> ErrorObject {
        let key = self.key.as_ref();
        let shown = ErrorObject::new(error.code, key::removed(key, &error.message));
        match error.data {
            None => shown,
            Some(data) => {
                let text = String::from_utf8_lossy(&data);
                shown.data(key::removed(key, &text).into_owned().into())
            }
        }
    }
}

/// Reads everything that the arguments name.
///
/// # Errors
///
/// An argument is invalid, or a file cannot be read.
pub(super) fn read(
    arguments: &Call,
    environment: &Environment,
) -> Result<(Request, Client, Driver), Problem> {
    let endpoint = Endpoint::with_default_path(&arguments.url, JsonRpc::DEFAULT_PATH);
    let endpoint = endpoint.map_err(invalid_url)?;
    let key = key::read(arguments, environment)?;
    if key.is_some() && is_readable_on_the_way(&endpoint) {
        output::message(&format!(
            "warning: the key is sent unencrypted to {}: use wss:// if the server speaks TLS",
            endpoint.socket_address()
        ));
    }
    let certificates = arguments.ca.as_deref().map(certificates).transpose()?;
    let request = Request {
        endpoint,
        method: arguments.method.clone(),
        params: params::read(arguments.params.as_deref())?,
        class: class(arguments.class),
        timeout: arguments.timeout,
        login: arguments.login.clone(),
        is_verbose: arguments.verbose,
        key,
    };
    let mut builder = Client::builder(&arguments.url)
        .map_err(invalid_url)?
        .backoff(BACKOFF)
        .close_timeout(CLOSE_TIMEOUT);
    if let Some(pem) = &certificates {
        builder = builder.add_root_certificate(pem);
    }
    if let (Some(method), Some(key)) = (request.login.clone(), &request.key) {
        let login = move |key: &Secret| login(&method, key);
        let login = LoginCall::new(login).evaluate(login_verdict);
        builder = builder.token(key.expose()).login(login);
    }
    let built = builder.build().map_err(|error| match &arguments.ca {
        Some(file) if matches!(error, steadfast::error::BuildError::Certificate) => Problem::new(
            format!("no certificate in {}, or an invalid one", file.display()),
            "--ca requires a file in PEM format, with -----BEGIN CERTIFICATE-----",
        ),
        Some(_) | None => Problem::new(error.to_string(), ""),
    });
    built.map(|(client, driver)| (request, client, driver))
}

/// The caller reads the error of a login at once, also one after which a service would try again.
fn login_verdict(outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
    let reason = match outcome {
        Ok(result) if !matches!(result.as_ref(), b"false" | b"null") => {
            return LoginVerdict::Accepted {
                expires_after: None,
            };
        }
        Ok(_) => "the credentials are invalid".to_owned(),
        Err(error) => error.to_string(),
    };
    LoginVerdict::Rejected {
        reason,
        advice: RetryAdvice::RETRY.with(Action::RenewCredentials),
    }
}

const fn class(class: CallClass) -> Class {
    match class {
        CallClass::Read => Class::Read,
        CallClass::Idempotent => Class::Idempotent,
        CallClass::Write => Class::Write,
    }
}

fn login(method: &str, key: &Secret) -> LoginRequest {
    let params = serde_json::json!([key.expose()]);
    LoginRequest {
        method: method.to_owned(),
        params: params.to_string().into(),
    }
}

/// Whether what is sent leaves this machine unencrypted.
fn is_readable_on_the_way(endpoint: &Endpoint) -> bool {
    let is_local = match endpoint.host().parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_name) => endpoint.host().eq_ignore_ascii_case("localhost"),
    };
    !is_local && endpoint.to_string().starts_with("ws://")
}

fn invalid_url(error: impl std::error::Error) -> Problem {
    Problem::new(
        error.to_string(),
        "For example: steadfast call ws://127.0.0.1:9000 add '[1, 2]'",
    )
}

fn certificates(file: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |reason: String| {
        Problem::new(
            format!(
                "cannot read the certificates in {}: {reason}",
                file.display()
            ),
            "",
        )
    };
    let opened = fs::File::open(file).map_err(|error| unreadable(error.to_string()))?;
    limited(opened, CA_BYTES_MAX).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_this_machine_or_is_encrypted_is_not_readable_on_the_way() {
        for (url, expected) in [
            ("ws://a.example", true),
            ("http://192.0.2.1:80", true),
            ("wss://a.example", false),
            ("ws://127.0.0.1:1", false),
            ("ws://[::1]:1", false),
            ("ws://localhost:1", false),
        ] {
            let endpoint = url.parse().unwrap();
            assert_eq!(is_readable_on_the_way(&endpoint), expected, "{url}");
        }
    }
}
