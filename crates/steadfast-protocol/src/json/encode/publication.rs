//! Publications and what else goes to many: the hot path of the fan-out.
//!
//! It takes borrowed parts, so that a hub encodes straight from what its log handed out.

use std::collections::BTreeMap;

use super::Object;
use crate::message::{ClientInfo, Publication};

/// The parts of a [`Publication`], borrowed from wherever they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicationParts<'a> {
    /// The payload: valid JSON. Line breaks in it are removed.
    pub data: &'a [u8],
    /// Who published it; absent when it did not come from a client.
    pub info: Option<InfoParts<'a>>,
    /// Its place in the channel; 0 in channels without history, then it is left out.
    pub offset: u64,
    /// Small labels.
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// Milliseconds since the Unix epoch; 0 is left out.
    pub time: i64,
}

/// The parts of a [`ClientInfo`], borrowed from wherever they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct InfoParts<'a> {
    /// The user; empty for an anonymous one, and then written as such.
    pub user: &'a str,
    /// The id of the connection's client.
    pub client: &'a str,
    /// Application data of the connection: valid JSON, or nothing.
    pub conn_info: Option<&'a [u8]>,
    /// Application data of the subscription: valid JSON, or nothing.
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
///
/// No epoch is written: a subscriber knows it from its subscribe result, and a change of it ends the subscription.
pub fn append_publication_push(
    out: &mut Vec<u8>,
    channel: &str,
    publication: PublicationParts<'_>,
) {
    append_push(out, channel, |push| {
        push.object("pub", |object| fill_publication(object, publication));
    });
}

/// Appends the push that somebody came.
pub fn append_join_push(out: &mut Vec<u8>, channel: &str, info: InfoParts<'_>) {
    append_push(out, channel, |push| {
        push.object("join", |join| fill_info_of(join, info));
    });
}

/// Appends the push that somebody went.
pub fn append_leave_push(out: &mut Vec<u8>, channel: &str, info: InfoParts<'_>) {
    append_push(out, channel, |push| {
        push.object("leave", |leave| fill_info_of(leave, info));
    });
}

/// Appends a push whose kind `fill` writes.
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

/// Writes the fields of a client's information; user and client stand there even when empty.
pub(super) fn fill_info(object: &mut Object<'_>, info: InfoParts<'_>) {
    object.text_always("user", info.user);
    object.text_always("client", info.client);
    object.raw_option("conn_info", info.conn_info);
    object.raw_option("chan_info", info.chan_info);
}

fn fill_info_of(object: &mut Object<'_>, info: InfoParts<'_>) {
    object.object("info", |object| fill_info(object, info));
}
