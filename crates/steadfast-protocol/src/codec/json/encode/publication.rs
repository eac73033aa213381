//! Encodes publications and the information about clients, which several replies and pushes contain.

use super::Object;
use crate::message::{ClientInfo, Publication};

/// Writes the fields of a publication; its payload must be JSON and is not checked.
pub(super) fn fill_publication(object: &mut Object<'_>, publication: &Publication) {
    object.raw("data", &publication.data);
    if let Some(info) = &publication.info {
        object.object("info", |object| fill_info(object, info));
    }
    object.number("offset", publication.offset);
    if !publication.tags.is_empty() {
        object.object("tags", |object| {
            for (tag, value) in &publication.tags {
                object.entry_text(tag, value);
            }
        });
    }
    object.number("time", publication.time);
}

/// Writes the fields of a client's information; user and client are written even when empty.
pub(super) fn fill_info(object: &mut Object<'_>, info: &ClientInfo) {
    object.text_always("user", &info.user);
    object.text_always("client", &info.client);
    object.raw_option("conn_info", info.conn_info.as_deref());
    object.raw_option("chan_info", info.chan_info.as_deref());
}
