//! Publishing for any caller: what can be published, and the request to the engine.

use bytes::Bytes;
use steadfast_engine::{Append, Publisher, Request, RetentionClass};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::channel::is_valid_name;
use crate::pending::{Caller, PublishForm, Purpose};
use crate::shared::Shared;

/// What a caller publishes.
#[derive(Debug)]
pub(crate) struct NewPublication {
    pub(crate) channel: ChannelName,
    pub(crate) kind: PayloadKind,
    pub(crate) data: Bytes,
    pub(crate) idempotency_key: Option<Bytes>,
}

impl Shared {
    /// Requests that the engine stores a publication. Returns the weight of the request, or why it is rejected.
    pub(crate) fn append(
        &mut self,
        caller: Caller,
        form: PublishForm,
        publisher: Publisher,
        publication: NewPublication,
    ) -> Result<usize, ErrorCode> {
        let NewPublication {
            channel,
            kind,
            data,
            idempotency_key,
        } = publication;
        if !is_valid_name(channel.as_str()) || data.is_empty() {
            return Err(ErrorCode::BadRequest);
        }
        if !self.has_request_capacity() {
            return Err(ErrorCode::TooManyRequests);
        }
        let purpose = Purpose::Publish {
            form,
            channel: channel.clone(),
        };
        let weight = self.request(caller, purpose, |request_id| {
            Request::Append(Append {
                request_id,
                channel,
                data,
                kind,
                retention: RetentionClass::Kept,
                publisher,
                idempotency_key,
            })
        });
        Ok(weight)
    }
}
