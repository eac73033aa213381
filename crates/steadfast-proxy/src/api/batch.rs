//! Several changes of toxics at one instant: all of them, or none.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{ToxicBody, Unknown};
use super::error::ApiError;
use super::input::{self, InputError, Object};
use super::view::micros;
use crate::Toxic;
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

/// The toxics of each proxy of a batch after the changes that were read.
type Toxics = BTreeMap<String, Vec<Toxic>>;

/// Reads the changes; those of a toxic are merged into what the changes before it make of it.
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
    let mut toxics = Toxics::new();
    let changes = values.into_iter().enumerate();
    changes
        .map(|(index, value)| {
            let change = change(value, set, &mut toxics);
            change.map_err(|error| numbered(index, error))
        })
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

fn change(value: &RawValue, set: &ProxySet, all: &mut Toxics) -> Result<Change, ApiError> {
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
    let toxics = all.entry(name.clone()).or_insert_with(|| proxy.toxics());
    let body = || {
        let toxic = object.get("toxic").unwrap_or(value);
        ToxicBody::read(toxic, Unknown::Ignored)
    };
    Ok(match operation.as_str() {
        // The batch itself finds a name that exists, which an earlier change may have removed.
        "add_toxic" => {
            let toxic = body()?.create(|_| false)?;
            toxics.push(toxic.clone());
            Change::AddToxic(name, toxic)
        }
        "update_toxic" => {
            let body = body()?;
            let found = toxics
                .iter_mut()
                .find(|toxic| body.name.as_ref() == Some(&toxic.name));
            let toxic = found.ok_or_else(ApiError::toxic_not_found)?;
            *toxic = body.merge_into(toxic.clone())?;
            Change::UpdateToxic(name, toxic.clone())
        }
        "remove_toxic" => {
            let removed = text("toxic")?;
            toxics.retain(|toxic| toxic.name != removed);
            Change::RemoveToxic(name, removed)
        }
        "remove_toxics" => {
            toxics.clear();
            Change::RemoveToxics(name)
        }
        _ => {
            let message = format!("`op` must be {OPERATIONS}, not `{operation}`");
            return Err(ApiError::bad_body(InputError::new(value, message)));
        }
    })
}
