//! Calls of the server's API, which no peer makes.

use bytes::Bytes;
use steadfast_engine::Rejection;
use steadfast_engine::memory::Offsets;
use steadfast_hub::io::{ApiCall, ApiPublication, Input, Published};
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::PayloadKind;

use crate::messages::push;
use crate::responses::{appended, payload, repeated};
use crate::script::{EPOCH, Script, settings};

pub(crate) fn a_publication_of_an_application_is_delivered_and_reported_once_it_is_committed(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let subscriber = script.subscribe("news", 0);

    publish(&mut script, 7, "news", Some("k"));
    assert_eq!(script.api_replies, []);
    script.respond(appended(1));
    assert_eq!(script.read(subscriber), [push("news", 1)]);
    publish(&mut script, 8, "news", Some("k"));
    script.respond(repeated(1));

    let stored = |is_duplicate| {
        Ok(Published {
            epoch: EPOCH,
            offset: script.offset("news", 1),
            is_duplicate,
        })
    };
    assert_eq!(
        script.api_replies,
        [(ApiCall(7), stored(false)), (ApiCall(8), stored(true))]
    );
    assert_eq!(script.read(subscriber), []);
}

pub(crate) fn a_publication_that_cannot_be_stored_is_reported_to_the_application(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            pending_requests_per_peer_max: 1,
            pending_requests_max: 1,
            ..settings()
        },
    );

    publish(&mut script, 1, "", None);
    publish(&mut script, 2, "news", None);
    publish(&mut script, 3, "news", None);
    script.reject(Rejection::TooLarge);

    assert_eq!(
        script.api_replies,
        [
            (ApiCall(1), Err(ErrorCode::BadRequest)),
            (ApiCall(3), Err(ErrorCode::TooManyRequests)),
            (ApiCall(2), Err(ErrorCode::LimitExceeded)),
        ]
    );
    assert_eq!(script.channel_count(), 0);
}

/// Publishes the payload of the first publication.
fn publish(script: &mut Script, call: u64, channel: &str, key: Option<&'static str>) {
    let publication = ApiPublication {
        channel: channel.to_owned(),
        kind: PayloadKind::Json,
        data: Bytes::from(payload(1)),
        idempotency_key: key.map(|key| Bytes::from_static(key.as_bytes())),
    };
    let call = ApiCall(call);
    script.handle(Input::ApiPublishReceived { call, publication });
}
