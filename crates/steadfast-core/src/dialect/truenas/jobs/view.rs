//! What the server says about a job: an entry of `core.get_jobs`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{JobEnd, JobProgress};
use crate::dialect::truenas::ApiError;
use crate::dialect::truenas::extended_json::DateTime;

/// The longest description that is kept, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;

/// What the server shows instead of a secret.
const HIDDEN: &str = "********";

/// The state of a job at one time.
#[derive(Clone, Debug)]
pub(super) struct JobView {
    pub(super) id: u64,
    /// The ids of the requests that started it.
    pub(super) message_ids: Vec<Value>,
    pub(super) identity: Identity,
    pub(super) progress: JobProgress,
    /// How it has ended; `None` if it has not.
    pub(super) end: Option<JobEnd>,
}

/// What distinguishes a job from another one with the same id, after the server has counted from 1 again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    pub(super) method: String,
    pub(super) arguments: Value,
    /// When it was started; `None` if it waits.
    pub(super) started_at: Option<DateTime>,
}

impl Identity {
    /// Whether a later view can be of the same job: one that has been started keeps its time.
    pub(super) fn continues_as(&self, later: &Self) -> bool {
        self.method == later.method
            && are_equal(&self.arguments, &later.arguments)
            && (self.started_at.is_none() || self.started_at == later.started_at)
    }

    /// Whether these arguments can have been sent for this job: the server hides some, and adds those that have a default.
    pub(super) fn has_arguments(&self, sent: &Value) -> bool {
        match (&self.arguments, sent) {
            (Value::Array(shown), Value::Array(sent)) => {
                let mut pairs = shown.iter().zip(sent);
                shown.len() >= sent.len() && pairs.all(|(shown, sent)| contains(shown, sent))
            }
            (shown, sent) => contains(shown, sent),
        }
    }
}

/// Whether two values that the server shows can be the same. Either may be hidden.
fn are_equal(one: &Value, other: &Value) -> bool {
    if is_hidden(one) || is_hidden(other) {
        return true;
    }
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_equal = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|it| are_equal(value, it))
            };
            one.len() == other.len() && one.iter().all(has_equal)
        }
        (one, other) => one == other,
    }
}

/// Whether a value that the server shows can be the one that was sent, which may have fewer members.
fn contains(shown: &Value, sent: &Value) -> bool {
    if is_hidden(shown) {
        return true;
    }
    match (shown, sent) {
        (Value::Array(shown), Value::Array(sent)) => {
            let mut pairs = shown.iter().zip(sent);
            shown.len() == sent.len() && pairs.all(|(shown, sent)| contains(shown, sent))
        }
        (Value::Object(shown), Value::Object(sent)) => sent
            .iter()
            .all(|(name, sent)| shown.get(name).is_some_and(|it| contains(it, sent))),
        (shown, sent) => shown == sent,
    }
}

/// Whether the server shows this instead of a secret.
fn is_hidden(value: &Value) -> bool {
    value.as_str() == Some(HIDDEN)
}

#[derive(Deserialize)]
struct Fields<'a> {
    id: u64,
    #[serde(default)]
    message_ids: Option<Vec<Value>>,
    method: String,
    #[serde(default)]
    arguments: Value,
    state: State,
    #[serde(default)]
    progress: Option<ProgressFields>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<String>,
    #[serde(borrow, default)]
    exc_info: Option<&'a RawValue>,
    #[serde(default)]
    time_started: Option<DateTime>,
}

#[derive(Deserialize)]
struct ProgressFields {
    #[serde(default)]
    percent: Option<f64>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Waiting,
    Running,
    Success,
    Failed,
    Aborted,
    /// A state of a later release.
    #[serde(other)]
    Other,
}

impl JobView {
    /// The view in this entry, raw JSON; `None` if it has another form.
    pub(super) fn parse(entry: &[u8]) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_slice(entry).ok()?;
        let end = match fields.state {
            State::Waiting | State::Running | State::Other => None,
            State::Success => {
                let result = fields.result.map_or("null", RawValue::get);
                Some(JobEnd::Success(Bytes::copy_from_slice(result.as_bytes())))
            }
            State::Failed => {
                let text = fields.error.as_deref().unwrap_or_default();
                Some(JobEnd::Failed(ApiError::of_job(text, fields.exc_info)))
            }
            State::Aborted => Some(JobEnd::Aborted),
        };
        let progress = fields.progress;
        let percent = progress.as_ref().and_then(|it| it.percent);
        let mut description = progress.and_then(|it| it.description).unwrap_or_default();
        description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES_MAX));
        Some(Self {
            id: fields.id,
            message_ids: fields.message_ids.unwrap_or_default(),
            identity: Identity {
                method: fields.method,
                arguments: fields.arguments,
                started_at: fields.time_started,
            },
            progress: JobProgress {
                is_running: !matches!(fields.state, State::Waiting),
                percent: percent.map_or(0, percent_of),
                description,
            },
            end,
        })
    }

    /// The views in a list of entries, raw JSON; `None` if it is no list. Entries of another form are omitted.
    pub(super) fn parse_list(list: &[u8]) -> Option<Vec<Self>> {
        let entries: Vec<&RawValue> = serde_json::from_slice(list).ok()?;
        let views = entries.iter();
        Some(
            views
                .filter_map(|it| Self::parse(it.get().as_bytes()))
                .collect(),
        )
    }
}

/// A whole number of percent from 0 to 100.
fn percent_of(percent: f64) -> u8 {
    (0..=100)
        .rev()
        .find(|whole| f64::from(*whole) <= percent)
        .unwrap_or(0)
}
