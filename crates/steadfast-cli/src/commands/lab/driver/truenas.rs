//! Calls of methods of a TrueNAS, with the JSON-RPC client of the library: writes that are sent once, and reads.
//!
//! The clients log in with the API key of `steadfast lab emulate truenas`. What they report of a call is the outcome that
//! the library returns to an application.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast::SessionState;
use steadfast::jsonrpc::{
    CallError, Class, Client, ErrorObject, LoginCall, LoginRequest, LoginVerdict,
};
use steadfast::retry_advice::RetryAdvice;

use super::{
    Adapter, CLIENTS_MAX, lost, rejected, server_error, session, succeeded, text, timed_out, timers,
};
use crate::args::emulate::{API_KEY, USER};

/// The only method that changes something; all others have no params.
const CREATE: &str = "pool.dataset.create";
/// The method with which each connection begins.
const LOGIN: &str = "auth.login_ex";

/// All clients of the driver.
#[derive(Debug, Default)]
pub(super) struct Truenas {
    clients: BTreeMap<String, Client>,
}

impl Truenas {
    fn open(name: &str, command: &Value) -> Result<Client, String> {
        let builder = Client::builder(text(command, "url")).map_err(|error| error.to_string())?;
        let builder = timers::apply(builder, command)
            .token(API_KEY)
            .login(login());
        let (client, driver) = builder.build().map_err(|error| error.to_string())?;
        tokio::spawn(session::report(
            name.to_owned(),
            client.events(),
            client.state(),
        ));
        tokio::spawn(driver);
        Ok(client)
    }
}

impl Adapter for Truenas {
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value> {
        let name = text(command, "client");
        if text(command, "do") == "open" {
            if self.clients.contains_key(name) || self.clients.len() >= CLIENTS_MAX {
                return Some(rejected(id, "the client exists, or there are too many"));
            }
            return Some(match Self::open(name, command) {
                Ok(client) => {
                    self.clients.insert(name.to_owned(), client);
                    succeeded(id, &json!({}))
                }
                Err(error) => rejected(id, &error),
            });
        }
        let Some(client) = self.clients.get(name) else {
            return Some(rejected(id, "client not found"));
        };
        match text(command, "do") {
            "request" => request(client, id, command),
            "close" => {
                let client = client.clone();
                tokio::spawn(async move { client.close(Duration::ZERO).await });
                Some(succeeded(id, &json!({})))
            }
            other => Some(rejected(id, &format!("unknown command `{other}`"))),
        }
    }
}

/// Makes a call; a task responds once its outcome is known.
fn request(client: &Client, id: &Value, command: &Value) -> Option<Value> {
    // The library would keep it for the next connection.
    if client.state().borrow().state != SessionState::Connected {
        return Some(rejected(id, "not connected"));
    }
    let Some(limit) = command.get("timeout_ms").and_then(Value::as_u64) else {
        return Some(rejected(id, "`timeout_ms` is missing"));
    };
    let (method, key) = (text(command, "op").to_owned(), text(command, "key"));
    let (class, params) = if method == CREATE {
        let params = json!([{"name": format!("tank/{key}")}]).to_string();
        (Class::Write, Bytes::from(params))
    } else {
        (Class::Read, Bytes::new())
    };
    let (client, id) = (client.clone(), id.clone());
    tokio::spawn(async move {
        let call = client.method(&method).class(class);
        let call = call.timeout(Duration::from_millis(limit));
        let outcome = call.request_raw(params).await;
        super::write_line(&response(&id, class, outcome));
    });
    None
}

fn response(id: &Value, class: Class, outcome: Result<Bytes, CallError>) -> Value {
    let Err(error) = outcome else {
        return succeeded(id, &json!({}));
    };
    // The library repeats what is no write, and does not say whether it was sent.
    let was_perhaps_sent = class != Class::Write;
    match error {
        CallError::Rejected(error) => {
            // The codes of JSON-RPC are negative.
            server_error(id, error.code.unsigned_abs(), &error.message)
        }
        CallError::TimedOut { maybe_executed } if maybe_executed || was_perhaps_sent => {
            timed_out(id)
        }
        CallError::Interrupted { maybe_executed } if maybe_executed || was_perhaps_sent => {
            lost(id, "the connection was lost")
        }
        CallError::UnexpectedReply => lost(id, "the reply was no reply to this call"),
        error @ (CallError::TimedOut { .. }
        | CallError::Interrupted { .. }
        | CallError::Unsendable(_)
        | CallError::Busy
        | CallError::Failed(_)
        | CallError::Closed
        | _) => rejected(id, &error.to_string()),
    }
}

fn login() -> LoginCall {
    let request = LoginCall::new(|key| {
        let data =
            json!([{"mechanism": "API_KEY_PLAIN", "username": USER, "api_key": key.expose()}]);
        LoginRequest {
            method: LOGIN.to_owned(),
            params: data.to_string().into(),
        }
    });
    request.evaluate(verdict)
}

/// A login whose credentials are rejected has a result too.
fn verdict(outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
    let rejected = |reason: String, advice| LoginVerdict::Rejected { reason, advice };
    match outcome {
        Ok(result) => {
            let result: Value = serde_json::from_slice(result).unwrap_or_default();
            match text(&result, "response_type") {
                "SUCCESS" => LoginVerdict::Accepted {
                    expires_after: None,
                },
                other => rejected(format!("the login returned {other}"), RetryAdvice::GIVE_UP),
            }
        }
        Err(error) => rejected(error.to_string(), RetryAdvice::RETRY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_without_a_reply_is_unknown_only_if_it_was_perhaps_sent() {
        let kind = |class, error| {
            let response = response(&json!(1), class, Err(error));
            text(&response["error"], "kind").to_owned()
        };
        let interrupted = |maybe_executed| CallError::Interrupted { maybe_executed };
        let timed_out = |maybe_executed| CallError::TimedOut { maybe_executed };

        assert_eq!(kind(Class::Write, interrupted(true)), "lost");
        assert_eq!(kind(Class::Write, interrupted(false)), "rejected");
        assert_eq!(kind(Class::Write, timed_out(true)), "timeout");
        assert_eq!(kind(Class::Write, timed_out(false)), "rejected");
        assert_eq!(kind(Class::Write, CallError::Busy), "rejected");
        assert_eq!(kind(Class::Read, interrupted(false)), "lost");
        assert_eq!(kind(Class::Read, timed_out(false)), "timeout");
    }

    #[test]
    fn only_a_login_that_succeeded_is_accepted() {
        let of = |result: &str| verdict(&Ok(Bytes::from(result.to_owned())));

        assert!(matches!(
            of(r#"{"response_type": "SUCCESS"}"#),
            LoginVerdict::Accepted { .. }
        ));
        for refused in [r#"{"response_type": "AUTH_ERR"}"#, "null", "true", "[]"] {
            assert!(
                matches!(of(refused), LoginVerdict::Rejected { .. }),
                "{refused}"
            );
        }
    }
}
