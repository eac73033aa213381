//! Proxies and toxics as clients and operators write them.
//!
//! A request is read as Toxiproxy reads it: unknown keys, and unknown attributes of its own toxics, are ignored. In a
//! file they are mistakes.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;
use steadfast_faults::toxic::{AttributeValue, KIND_NAMES, Network, default_name};
use steadfast_toml::suggestion;

use super::error::ApiError;
use super::input::{self, InputError, Object};
use crate::builder::Builder;
use crate::proxy::{Proxy, Update};
use crate::{Directions, Select, Toxic, ToxicKind};

/// The text for a stream that does not exist.
const INVALID_STREAM: &str = "stream was invalid, can be either upstream or downstream";
/// The text for a type that does not exist.
const INVALID_TYPE: &str = "invalid toxic type";

const PROXY_KEYS: [&str; 7] = [
    "name",
    "listen",
    "upstream",
    "enabled",
    "toxics",
    "dial_timeout_ms",
    // Toxiproxy returns it, so that it is in files that were saved from its responses.
    "logger",
];
const TOXIC_KEYS: [&str; 7] = [
    "name",
    "type",
    "stream",
    "toxicity",
    "attributes",
    "duration_ms",
    "select",
];
const SELECT_KEYS: [&str; 5] = [
    "every_nth",
    "first_n",
    "conn_ids",
    "source_cidr",
    "first_bytes",
];

/// How what is unknown is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// In a request: it is ignored where Toxiproxy ignores it.
    Ignored,
    /// In a file: it is a mistake.
    Rejected,
}

impl Unknown {
    /// Rejects a field with a name that is not known.
    fn check_names(self, object: &Object<'_>, known: &[&str]) -> Result<(), ApiError> {
        if self == Self::Ignored {
            return Ok(());
        }
        let is_known = |name: &str| known.iter().any(|it| it.eq_ignore_ascii_case(name));
        match object.names().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let value = object.get(name).unwrap_or_else(|| object.value());
                let error = InputError::new(value, format!("unknown key `{name}`"));
                Err(ApiError::bad_body(
                    error.with_help(suggestion::help(name, known)),
                ))
            }
        }
    }
}

/// A proxy to create.
#[derive(Debug)]
pub(super) struct NewProxy {
    pub(super) name: String,
    pub(super) upstream: String,
    pub(super) listen: String,
    pub(super) is_enabled: Option<bool>,
    pub(super) toxics: Option<Vec<Toxic>>,
    pub(super) dial_timeout: Option<Duration>,
}

impl NewProxy {
    /// Reads a proxy; `entry` is its number in a list, from 1.
    pub(super) fn read(
        value: &RawValue,
        entry: Option<usize>,
        unknown: Unknown,
    ) -> Result<Self, ApiError> {
        let object = Object::read(value).map_err(ApiError::bad_body)?;
        unknown.check_names(&object, &PROXY_KEYS)?;
        let required = |field: &str| {
            let text = object.text(field).map_err(ApiError::bad_body)?;
            text.filter(|text| !text.is_empty()).ok_or_else(|| {
                let error = InputError::new(value, format!("the proxy has no `{field}`"));
                ApiError::missing_field(field, entry, error)
            })
        };
        let fields = (|| {
            Ok((
                object.text("listen")?,
                object.boolean("enabled")?,
                object.integer("dial_timeout_ms")?,
            ))
        })();
        let (listen, is_enabled, dial_timeout) = fields.map_err(ApiError::bad_body)?;
        let (name, upstream) = (required("name")?, required("upstream")?);
        let toxics = object
            .get("toxics")
            .map(|value| toxics(value, unknown))
            .transpose()?;
        Ok(Self {
            name,
            upstream,
            listen: listen_address(&listen.unwrap_or_default()),
            is_enabled,
            toxics,
            dial_timeout: dial_timeout.map(Duration::from_millis),
        })
    }

    /// The settings of the proxy, with its toxics.
    pub(super) fn builder(&self) -> Builder {
        let mut builder = Proxy::to(&self.upstream)
            .name(self.name.clone())
            .listen(self.listen.clone())
            .enabled(self.is_enabled.unwrap_or(true));
        if let Some(timeout) = self.dial_timeout {
            builder = builder.dial_timeout(timeout);
        }
        let toxics = self.toxics.iter().flatten().cloned();
        toxics.fold(builder, Builder::toxic)
    }
}

/// The toxics of a new proxy.
fn toxics(value: &RawValue, unknown: Unknown) -> Result<Vec<Toxic>, ApiError> {
    let mut toxics: Vec<Toxic> = Vec::new();
    for value in input::array(value).map_err(ApiError::bad_body)? {
        let body = ToxicBody::read(value, unknown)?;
        let exists = |name: &str| toxics.iter().any(|toxic| toxic.name == name);
        toxics.push(body.create(exists)?);
    }
    Ok(toxics)
}

/// The change of a proxy. The name and the toxics of the body are ignored: clients send back what they received.
pub(super) fn update(value: &RawValue) -> Result<Update, ApiError> {
    let read = || {
        let object = Object::read(value)?;
        Ok(Update {
            listen: object.text("listen")?.map(|listen| listen_address(&listen)),
            upstream: object.text("upstream")?.filter(|text| !text.is_empty()),
            dial_timeout: object
                .integer("dial_timeout_ms")?
                .map(Duration::from_millis),
            is_enabled: object.boolean("enabled")?,
        })
    };
    read().map_err(ApiError::bad_body)
}

/// The address to listen on, of which everything or the host may be absent: then all interfaces are meant.
fn listen_address(listen: &str) -> String {
    let all = if std::path::Path::new("/proc/net/if_inet6").exists() {
        "[::]"
    } else {
        "0.0.0.0"
    };
    match listen {
        "" => format!("{all}:0"),
        port if port.starts_with(':') => format!("{all}{port}"),
        complete => complete.to_owned(),
    }
}

/// A toxic to create, or the change of one, whose stream, type and attributes are not checked yet.
#[derive(Debug)]
pub(super) struct ToxicBody<'a> {
    object: Object<'a>,
    unknown: Unknown,
    pub(super) name: Option<String>,
    stream: Option<String>,
    kind: Option<String>,
    toxicity: Option<f64>,
    duration: Option<Duration>,
    select: Option<Select>,
    attributes: Option<Object<'a>>,
}

impl<'a> ToxicBody<'a> {
    pub(super) fn read(value: &'a RawValue, unknown: Unknown) -> Result<Self, ApiError> {
        let object = Object::read(value).map_err(ApiError::bad_body)?;
        unknown.check_names(&object, &TOXIC_KEYS)?;
        let select = object.object("select").map_err(ApiError::bad_body)?;
        let select = select.map(|it| read_select(&it)).transpose()?;
        let read = || {
            let texts = (
                object.text("name")?.filter(|name| !name.is_empty()),
                object.text("stream")?.filter(|stream| !stream.is_empty()),
                object.text("type")?,
            );
            let numbers = (object.number("toxicity")?, object.integer("duration_ms")?);
            Ok((texts, numbers, object.object("attributes")?))
        };
        let ((name, stream, kind), (toxicity, duration), attributes) =
            read().map_err(ApiError::bad_body)?;
        Ok(Self {
            object,
            unknown,
            name,
            stream,
            kind,
            toxicity,
            duration: duration.map(Duration::from_millis),
            select,
            attributes,
        })
    }

    /// Creates the toxic. The order of the checks is Toxiproxy's: stream, type, name, attributes.
    pub(super) fn create(&self, exists: impl Fn(&str) -> bool) -> Result<Toxic, ApiError> {
        let directions = self.directions()?;
        let mut kind = self.kind()?;
        let name = self.name.clone();
        let name = name.unwrap_or_else(|| default_name(&kind, directions));
        if exists(&name) {
            let message = format!("there is another toxic of the name `{name}`");
            let input = Some(self.error_at("name", message));
            return Err(ApiError {
                input,
                ..ApiError::toxic_exists()
            });
        }
        self.set_attributes(&mut kind)?;
        let toxic = Toxic {
            name,
            directions,
            toxicity: self.toxicity.unwrap_or(1.0),
            kind,
            duration: self.duration,
            select: self.select.clone().unwrap_or_default(),
        };
        self.validated(toxic)
    }

    /// Returns the toxic with what the body changes. Its name, its type and its stream stay.
    pub(super) fn merge_into(&self, mut toxic: Toxic) -> Result<Toxic, ApiError> {
        self.set_attributes(&mut toxic.kind)?;
        toxic.toxicity = self.toxicity.unwrap_or(toxic.toxicity);
        toxic.duration = self.duration.or(toxic.duration);
        if let Some(select) = &self.select {
            toxic.select = select.clone();
        }
        self.validated(toxic)
    }

    fn validated(&self, toxic: Toxic) -> Result<Toxic, ApiError> {
        match toxic.validate() {
            Ok(()) => Ok(toxic),
            Err(problem) => Err(ApiError::bad_body(InputError::new(
                self.object.value(),
                problem,
            ))),
        }
    }

    fn directions(&self) -> Result<Directions, ApiError> {
        let Some(stream) = &self.stream else {
            return Ok(Directions::default());
        };
        let all = [Directions::ToServer, Directions::ToClient, Directions::Both];
        let mut all = all.into_iter();
        all.find(|it| it.name().eq_ignore_ascii_case(stream))
            .ok_or_else(|| {
                let error = self.error_at("stream", format!("unknown stream `{stream}`"));
                let error = error.with_help("one of: upstream, downstream, both");
                ApiError::with_input(INVALID_STREAM, error)
            })
    }

    fn kind(&self) -> Result<ToxicKind, ApiError> {
        let name = self.kind.as_deref().unwrap_or_default();
        ToxicKind::from_name(name).ok_or_else(|| {
            let message = if self.kind.is_none() {
                "the toxic has no `type`".to_owned()
            } else {
                format!("unknown type of toxic `{name}`")
            };
            let help = suggestion::help(name, &KIND_NAMES);
            ApiError::with_input(INVALID_TYPE, self.error_at("type", message).with_help(help))
        })
    }

    fn set_attributes(&self, kind: &mut ToxicKind) -> Result<(), ApiError> {
        let Some(attributes) = &self.attributes else {
            return Ok(());
        };
        let known: Vec<&str> = kind.attributes().iter().map(|it| it.name).collect();
        let is_lenient = self.unknown == Unknown::Ignored && is_of_toxiproxy(kind);
        for written in attributes.names() {
            let name = known.iter().find(|it| it.eq_ignore_ascii_case(written));
            let Some(value) = attributes.get(written) else {
                continue;
            };
            let Some(name) = name else {
                if is_lenient {
                    continue;
                }
                let message = format!("{} has no attribute `{written}`", kind.name());
                let help = suggestion::help(written, &known);
                return Err(ApiError::bad_body(
                    InputError::new(value, message).with_help(help),
                ));
            };
            kind.set_attribute(name, &attribute_value(value))
                .map_err(|error| ApiError::bad_body(InputError::new(value, error.to_string())))?;
        }
        Ok(())
    }

    /// An error at a field, or at the whole toxic if the field is absent.
    fn error_at(&self, field: &str, message: String) -> InputError {
        let value = self.object.get(field);
        InputError::new(value.unwrap_or_else(|| self.object.value()), message)
    }
}

/// Whether Toxiproxy has this kind, with an unknown attribute of which its clients may rely on nothing.
fn is_of_toxiproxy(kind: &ToxicKind) -> bool {
    const COUNT: usize = 8;
    KIND_NAMES
        .iter()
        .take(COUNT)
        .any(|name| *name == kind.name())
}

/// The value of an attribute; one of another type is a word that no attribute accepts.
fn attribute_value(value: &RawValue) -> AttributeValue {
    if let Some(integer) = input::integer(value) {
        return AttributeValue::Integer(integer);
    }
    let word: Option<String> = serde_json::from_str(value.get()).ok();
    AttributeValue::Word(Cow::Owned(word.unwrap_or_default()))
}

fn read_select(object: &Object<'_>) -> Result<Select, ApiError> {
    // Not even Toxiproxy's clients know these keys, so that an unknown one is always a mistake.
    Unknown::Rejected.check_names(object, &SELECT_KEYS)?;
    let read = || {
        let mut connections = Vec::new();
        if let Some(value) = object.get("conn_ids") {
            for id in input::array(value)? {
                let number = input::integer(id).ok_or_else(|| {
                    InputError::new(id, "`conn_ids` must be a list of numbers of connections")
                })?;
                connections.push(number);
            }
        }
        let source = object.text("source_cidr")?.map(|text| {
            text.parse::<Network>().map_err(|error| {
                let value = object.get("source_cidr");
                let value = value.unwrap_or_else(|| object.value());
                InputError::new(value, format!("`source_cidr` {error}"))
            })
        });
        Ok(Select {
            every_nth: object.integer("every_nth")?,
            first_n: object.integer("first_n")?,
            connections,
            source: source.transpose()?,
            first_bytes: object.integer("first_bytes")?,
        })
    };
    read().map_err(ApiError::bad_body)
}
