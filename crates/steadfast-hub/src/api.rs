//! Calls of the server's API: an application acts on the hub without being a peer.

use steadfast_engine::{Publisher, Response};
use steadfast_protocol::codes::ErrorCode;

use crate::append::NewPublication;
use crate::from_engine::rejection_code;
use crate::io::{ApiCall, ApiPublication, Output, Published};
use crate::pending::{Caller, PublishForm};
use crate::shared::Shared;

/// Publishes for an application. The publication has no publisher that subscribers could see.
pub(crate) fn publish(shared: &mut Shared, call: ApiCall, publication: ApiPublication) {
    let ApiPublication {
        channel,
        kind,
        data,
        idempotency_key,
    } = publication;
    let publication = NewPublication {
        channel: shared.channels.name(&channel),
        kind,
        data,
        idempotency_key,
    };
    let (caller, publisher) = (Caller::Api { call }, Publisher::default());
    // The weight is of no peer: an application is limited by the requests of the hub.
    let requested = shared.append(caller, PublishForm::Plain, publisher, publication, None);
    if let Err(code) = requested {
        reply(shared, call, Err(code));
    }
}

/// Reports that a publication is committed, and has been delivered to every shard; or why it is rejected.
///
/// # Panics
///
/// If the response is that to a read: a bug in the driver.
pub(crate) fn on_published(shared: &mut Shared, call: ApiCall, response: &Response) {
    let outcome = match *response {
        Response::Appended {
            epoch,
            offset,
            is_duplicate,
            creates_channel: _,
        } => Ok(Published {
            epoch,
            offset,
            is_duplicate,
        }),
        Response::Rejected(rejection) => Err(rejection_code(rejection)),
        Response::Read(_) => unreachable!("the engine responds to an append with its offset"),
    };
    reply(shared, call, outcome);
}

fn reply(shared: &mut Shared, call: ApiCall, outcome: Result<Published, ErrorCode>) {
    shared.context.emit(Output::ReplyToApi { call, outcome });
}
