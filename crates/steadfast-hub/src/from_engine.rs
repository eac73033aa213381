//! What the engine says, as clients receive it.

use std::collections::BTreeMap;

use steadfast_engine::{Publisher, ReadResponse, Record, Rejection, Response};
use steadfast_machine::convert;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ClientInfo, Publication};

use crate::policy::HubSettings;

/// The error code that a client receives for a rejection by the engine.
pub(crate) const fn rejection_code(rejection: Rejection) -> ErrorCode {
    match rejection {
        Rejection::NoSpace
        | Rejection::Unavailable
        | Rejection::WriteFailed
        | Rejection::Closing => ErrorCode::Internal,
        Rejection::Limit | Rejection::NewChannel => ErrorCode::TooManyRequests,
        Rejection::TooLarge | Rejection::TooManyChannels => ErrorCode::LimitExceeded,
        Rejection::KeyWithOtherData => ErrorCode::BadRequest,
    }
}

/// Whether a send buffer can hold a stored record.
pub(crate) const fn is_sendable(settings: &HubSettings, record: &Record) -> bool {
    record.data.len() <= settings.publication_bytes_max()
}

/// A stored record.
pub(crate) fn publication(record: Record) -> Publication {
    let Record {
        offset,
        data,
        kind,
        retention: _,
        publisher,
        at,
    } = record;
    Publication {
        data,
        payload_kind: kind,
        info: client_info(&publisher),
        offset,
        tags: BTreeMap::new(),
        time: convert::saturating(at.as_millis()),
    }
}

fn client_info(publisher: &Publisher) -> Option<ClientInfo> {
    if publisher.client.is_empty() {
        return None;
    }
    Some(ClientInfo {
        user: String::from_utf8_lossy(&publisher.user).into_owned(),
        client: String::from_utf8_lossy(&publisher.client).into_owned(),
        conn_info: None,
        chan_info: None,
    })
}

/// The response to a read.
///
/// # Panics
///
/// If it is the response to an append: a bug in the driver.
pub(crate) fn read_response(response: Response) -> Result<ReadResponse, Rejection> {
    match response {
        Response::Read(read) => Ok(read),
        Response::Rejected(rejection) => Err(rejection),
        Response::Appended { .. } => unreachable!("the engine responds to a read with a page"),
    }
}
