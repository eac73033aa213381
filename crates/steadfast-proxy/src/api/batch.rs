//! Several changes of toxics at one instant: all of them, or none.

use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{ToxicBody, Unknown};
use super::error::ApiError;
use super::input::{self, InputError, Object};
use super::operations::find;
use super::view::micros;
use crate::set::{Change, ProxySet};

/// The greatest number of changes.
const CHANGES_MAX: usize = 1_024;

/// The values of `op`.
const OPERATIONS: &str = "add_toxic, update_toxic, remove_toxic or remove_toxics";

/// The body of the response.
#[derive(Debug, Serialize)]
pub(super) struct Applied {
    seed: u64,
    /// The instant of all changes, on the clock of the events.
    at_us: u64,
    changes: usize,
}

/// Reads the changes; those of a toxic are merged into what it is now.
pub(super) fn read(value: &RawValue, set: &ProxySet) -> Result<Vec<Change>, ApiError> {
    let object = Object::read(value).map_err(ApiError::bad_body)?;
    let Some(list) = object.get("changes") else {
        let error = InputError::new(value, "the batch has no `changes`");
        return Err(ApiError::missing_field("changes", None, error));
    };
    let values = input::array(list).map_err(ApiError::bad_body)?;
    if values.len() > CHANGES_MAX {
        let message = format!("at most {CHANGES_MAX} changes; send another batch");
        return Err(ApiError::bad_body(InputError::new(list, message)));
    }
    let changes = values.into_iter().enumerate();
    changes
        .map(|(index, value)| change(value, set).map_err(|error| numbered(index, error)))
        .collect()
}

/// Applies the changes.
pub(super) fn apply(changes: Vec<Change>, set: &ProxySet) -> Result<Applied, ApiError> {
    let count = changes.len();
    match set.batch(changes) {
        Ok(at) => Ok(Applied {
            seed: set.seed().as_u64(),
            at_us: micros(at),
            changes: count,
        }),
        Err((index, error)) => Err(numbered(index, error.into())),
    }
}

fn numbered(index: usize, error: ApiError) -> ApiError {
    error.in_part(&format!("change {}", index + 1))
}

fn change(value: &RawValue, set: &ProxySet) -> Result<Change, ApiError> {
    let object = Object::read(value).map_err(ApiError::bad_body)?;
    let text = |field: &str| {
        let text = object.text(field).map_err(ApiError::bad_body)?;
        text.ok_or_else(|| {
            let error = InputError::new(value, format!("the change has no `{field}`"));
            ApiError::missing_field(field, None, error)
        })
    };
    let (operation, name) = (text("op")?, text("proxy")?);
    let proxy = set.get(&name).ok_or_else(ApiError::proxy_not_found)?;
    let body = || {
        let toxic = object.get("toxic").unwrap_or(value);
        ToxicBody::read(toxic, Unknown::Ignored)
    };
    Ok(match operation.as_str() {
        // The batch itself finds a name that exists, which an earlier change may have removed.
        "add_toxic" => Change::AddToxic(name, body()?.create(|_| false)?),
        "update_toxic" => {
            let body = body()?;
            let toxic = find(&proxy, body.name.as_deref().unwrap_or_default())?;
            Change::UpdateToxic(name, body.merge_into(toxic)?)
        }
        "remove_toxic" => Change::RemoveToxic(name, text("toxic")?),
        "remove_toxics" => Change::RemoveToxics(name),
        _ => {
            let message = format!("`op` must be {OPERATIONS}, not `{operation}`");
            return Err(ApiError::bad_body(InputError::new(value, message)));
        }
    })
}
