//! Proxies, toxics and connections as the API shows them. The order of the keys is Toxiproxy's.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use steadfast_faults::toxic::{AttributeValue, ToxicKind};
use steadfast_machine::{Instant, convert};

use crate::builder::DIAL_TIMEOUT;
use crate::connection::ConnectionInfo;
use crate::proxy::{Proxy, ProxyInfo};
use crate::traffic::Traffic;
use crate::{Select, Toxic};

#[derive(Debug, Serialize)]
pub(super) struct ProxyView {
    name: String,
    listen: String,
    upstream: String,
    /// Left out for the default, as Toxiproxy does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dial_timeout_ms: Option<u64>,
    enabled: bool,
    toxics: ToxicList,
}

impl ProxyView {
    pub(super) fn of(proxy: &Proxy) -> Self {
        let ProxyInfo {
            name,
            listen,
            upstream,
            dial_timeout,
            is_enabled,
            toxics,
            seed: _,
        } = proxy.info();
        Self {
            name,
            listen,
            upstream,
            dial_timeout_ms: (dial_timeout != DIAL_TIMEOUT)
                .then(|| convert::saturating(dial_timeout.as_millis())),
            enabled: is_enabled,
            toxics: ToxicList(toxics),
        }
    }
}

/// The microseconds from the start of the clock of the events.
pub(super) const fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1_000
}

/// The toxics of a proxy as an array.
#[derive(Debug)]
pub(super) struct ToxicList(pub(super) Vec<Toxic>);

impl Serialize for ToxicList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_seq(Some(self.0.len()))?;
        for toxic in &self.0 {
            array.serialize_element(&ToxicView::of(toxic))?;
        }
        array.end()
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ToxicView<'a> {
    attributes: Attributes<'a>,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    stream: &'a str,
    toxicity: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<SelectView<'a>>,
}

impl<'a> ToxicView<'a> {
    pub(super) fn of(toxic: &'a Toxic) -> Self {
        let duration = toxic.duration;
        Self {
            attributes: Attributes(&toxic.kind),
            name: &toxic.name,
            kind: toxic.kind.name(),
            stream: toxic.directions.name(),
            toxicity: Number(toxic.toxicity),
            duration_ms: duration.map(|it| convert::saturating(it.as_millis())),
            select: (toxic.select != Select::default()).then(|| SelectView::of(&toxic.select)),
        }
    }
}

/// The attributes of a kind. A word that is the default is left out: Toxiproxy's client expects only numbers, and its
/// toxics have no words otherwise.
#[derive(Debug)]
struct Attributes<'a>(&'a ToxicKind);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let defaults = ToxicKind::from_name(self.0.name());
        let defaults = defaults.map(|kind| kind.attributes()).unwrap_or_default();
        let mut map = serializer.serialize_map(None)?;
        for attribute in self.0.attributes() {
            match &attribute.value {
                AttributeValue::Integer(number) => map.serialize_entry(attribute.name, number)?,
                AttributeValue::Word(_) if defaults.contains(&attribute) => {}
                AttributeValue::Word(word) => map.serialize_entry(attribute.name, word.as_ref())?,
            }
        }
        map.end()
    }
}

/// A number that has no fraction if it is an integer, as JavaScript and Go write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Both kinds of numbers are from 0 to 1.
        if self.0 <= 0.0 {
            serializer.serialize_u8(0)
        } else if self.0 >= 1.0 {
            serializer.serialize_u8(1)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[derive(Debug, Serialize)]
struct SelectView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    every_nth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_n: Option<u64>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    conn_ids: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    source_cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bytes: Option<u64>,
}

impl<'a> SelectView<'a> {
    fn of(select: &'a Select) -> Self {
        let Select {
            every_nth,
            first_n,
            connections,
            source,
            first_bytes,
        } = select;
        Self {
            every_nth: *every_nth,
            first_n: *first_n,
            conn_ids: connections,
            source_cidr: source.map(|network| network.to_string()),
            first_bytes: *first_bytes,
        }
    }
}

/// An open connection. Its id is unique in the server, its number in the proxy.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionView {
    id: String,
    proxy: String,
    number: u64,
    peer: String,
    upstream: Option<String>,
    age_ms: u64,
    to_server: TrafficView,
    to_client: TrafficView,
    toxics: Vec<DrawView>,
}

#[derive(Debug, Serialize)]
struct TrafficView {
    received_bytes: u64,
    sent_bytes: u64,
}

/// What a connection drew for a toxic.
#[derive(Debug, Serialize)]
struct DrawView {
    name: String,
    draw: Number,
    is_victim: bool,
}

impl ConnectionView {
    pub(super) fn of(proxy: &str, connection: ConnectionInfo) -> Self {
        let traffic = |it: Traffic| TrafficView {
            received_bytes: it.received_bytes,
            sent_bytes: it.sent_bytes,
        };
        let toxics = connection.toxics.into_iter().map(|it| DrawView {
            name: it.name,
            draw: Number(it.draw),
            is_victim: it.is_victim,
        });
        Self {
            id: format!("{proxy}:{}", connection.id),
            proxy: proxy.to_owned(),
            number: connection.id,
            peer: connection.peer.to_string(),
            upstream: connection.upstream.map(|address| address.to_string()),
            age_ms: convert::saturating(connection.age.as_millis()),
            to_server: traffic(connection.to_server),
            to_client: traffic(connection.to_client),
            toxics: toxics.collect(),
        }
    }
}
