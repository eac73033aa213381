//! Methods of `core` that change their connection: options and subscriptions.

use serde_json::{Value, json};

use super::Middleware;
use crate::connection::Call;
use crate::errors::{CallError, Errno};
use crate::version::ApiVersion;

/// The most subscriptions of a connection.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// The collection whose name may have an argument.
const WITH_ARGUMENT: &str = "reporting.realtime";

impl Middleware {
    pub(super) fn set_options(&mut self, call: &Call) -> Result<Value, CallError> {
        let requested = call.params.first().and_then(Value::as_object);
        let requested = requested.ok_or_else(|| CallError::required("options"))?;
        let has_legacy_jobs = self.policy.release >= ApiVersion::V25_10_0;
        let Some(connection) = self.connections.get_mut(&call.connection) else {
            return Ok(Value::Null);
        };
        let options = &mut connection.options;
        for (name, value) in requested {
            let option = match name.as_str() {
                "legacy_jobs" if has_legacy_jobs => &mut options.legacy_jobs,
                "private_methods" => &mut options.private_methods,
                "py_exceptions" => &mut options.py_exceptions,
                _ => {
                    let text = "Extra inputs are not permitted";
                    let attribute = format!("options.{name}");
                    return Err(CallError::invalid(&attribute, text, Errno::Invalid));
                }
            };
            *option = value.as_bool().unwrap_or(*option);
        }
        let mut effective = json!({
            "private_methods": options.private_methods,
            "py_exceptions": options.py_exceptions,
        });
        if let Some(fields) = effective.as_object_mut().filter(|_| has_legacy_jobs) {
            fields.insert("legacy_jobs".to_owned(), json!(options.legacy_jobs));
        }
        Ok(effective)
    }

    pub(super) fn subscribe(&mut self, call: &Call) -> Result<Value, CallError> {
        let name = call.params.first().and_then(Value::as_str);
        let name = name.ok_or_else(|| CallError::required("event"))?;
        let subscription = self.uuid();
        if let Some(connection) = self.connections.get_mut(&call.connection) {
            if connection.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                let text = "the emulator permits no more subscriptions";
                return Err(CallError::failed(Errno::Invalid, text));
            }
            let subscriptions = &mut connection.subscriptions;
            subscriptions.insert(subscription.clone(), name.to_owned());
        }
        // The source of the events finds the error after the subscription was accepted.
        if let Some(argument) = name.strip_prefix(WITH_ARGUMENT)
            && let Some(argument) = argument.strip_prefix(':')
            && !matches!(serde_json::from_str(argument), Ok(Value::Object(_)))
        {
            let error = CallError::invalid("arg", "Invalid JSON", Errno::Invalid);
            self.end_subscription(call.connection, name, Some(&error));
        }
        Ok(json!(subscription))
    }

    pub(super) fn unsubscribe(&mut self, call: &Call) -> Result<Value, CallError> {
        let id = call.params.first().and_then(Value::as_str);
        let id = id.ok_or_else(|| CallError::required("id"))?;
        if let Some(connection) = self.connections.get_mut(&call.connection)
            && let Some(name) = connection.subscriptions.remove(id)
            && name.starts_with(WITH_ARGUMENT)
        {
            // The source of the events ends, before the response.
            self.send_end(call.connection, &name, None);
        }
        Ok(Value::Null)
    }
}
