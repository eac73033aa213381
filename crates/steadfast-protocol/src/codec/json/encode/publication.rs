//! Encodes publications, joins and leaves: the hot path of the fan-out.
//!
//! The functions take borrowed parts, so that a hub encodes the log's records without copying them.

use std::collections::BTreeMap;

use super::Object;
use crate::message::{ClientInfo, Publication};

/// The borrowed parts of a [`Publication`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicationParts<'a> {
    /// Payload: valid JSON. Line breaks in it are removed.
    pub data: &'a [u8],
    /// Publisher; absent when it is not a client.
    pub info: Option<InfoParts<'a>>,
    /// Offset in the channel; 0 in channels without history, and then omitted.
    pub offset: u64,
    /// Labels of the publication.
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// Milliseconds since the Unix epoch; 0 is omitted.
    pub time: i64,
}

/// The borrowed parts of a [`ClientInfo`].
#[derive(Clone, Copy, Debug, Default)]
pub struct InfoParts<'a> {
    /// User id; empty for an anonymous user, and written even then.
    pub user: &'a str,
    /// Client id of the connection.
    pub client: &'a str,
    /// Application data of the connection: valid JSON.
    pub conn_info: Option<&'a [u8]>,
    /// Application data of the subscription: valid JSON.
    pub chan_info: Option<&'a [u8]>,
}

impl<'a> From<&'a Publication> for PublicationParts<'a> {
    fn from(publication: &'a Publication) -> Self {
        Self {
            data: &publication.data,
            info: publication.info.as_ref().map(InfoParts::from),
            offset: publication.offset,
            tags: Some(&publication.tags),
            time: publication.time,
        }
    }
}

impl<'a> From<&'a ClientInfo> for InfoParts<'a> {
    fn from(info: &'a ClientInfo) -> Self {
        Self {
            user: &info.user,
            client: &info.client,
            conn_info: info.conn_info.as_deref(),
            chan_info: info.chan_info.as_deref(),
        }
    }
}

/// Appends the push of one publication.
pub(in crate::codec) fn append_publication_push(
    out: &mut Vec<u8>,
    channel: &str,
    publication: PublicationParts<'_>,
) {
    append_push(out, channel, |push| {
        push.object("pub", |object| fill_publication(object, publication));
    });
}

/// Appends the join push of a client that subscribed.
pub(super) fn append_join_push(out: &mut Vec<u8>, channel: &str, info: InfoParts<'_>) {
    append_push(out, channel, |push| {
        push.object("join", |join| fill_info_object(join, info));
    });
}

/// Appends the leave push of a client whose subscription ended.
pub(super) fn append_leave_push(out: &mut Vec<u8>, channel: &str, info: InfoParts<'_>) {
    append_push(out, channel, |push| {
        push.object("leave", |leave| fill_info_object(leave, info));
    });
}

/// Appends a push; `fill` writes its kind.
pub(super) fn append_push(out: &mut Vec<u8>, channel: &str, fill: impl FnOnce(&mut Object<'_>)) {
    let mut reply = Object::new(out);
    reply.object("push", |push| {
        push.text("channel", channel);
        fill(push);
    });
    reply.end();
}

/// Writes the fields of a publication.
pub(super) fn fill_publication(object: &mut Object<'_>, publication: PublicationParts<'_>) {
    object.raw("data", publication.data);
    if let Some(info) = publication.info {
        object.object("info", |object| fill_info(object, info));
    }
    object.number("offset", publication.offset);
    if let Some(tags) = publication.tags
        && !tags.is_empty()
    {
        object.object("tags", |object| {
            for (tag, value) in tags {
                object.entry_text(tag, value);
            }
        });
    }
    object.number("time", publication.time);
}

/// Writes the fields of a client's information; user and client are written even when empty.
pub(super) fn fill_info(object: &mut Object<'_>, info: InfoParts<'_>) {
    object.text_always("user", info.user);
    object.text_always("client", info.client);
    object.raw_option("conn_info", info.conn_info);
    object.raw_option("chan_info", info.chan_info);
}

fn fill_info_object(object: &mut Object<'_>, info: InfoParts<'_>) {
    object.object("info", |object| fill_info(object, info));
}
