//! Publishing for any caller: what can be published, and the request to the engine.

use bytes::Bytes;
use steadfast_engine::{Append, Publisher, Request, RetentionClass};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::channel::is_valid_name;
use crate::pending::{Caller, PublishForm, Purpose};
use crate::quota::Taken;
use crate::shared::Shared;

/// Approximate memory of a pending append in addition to its texts and payload.
const APPEND_OVERHEAD_BYTES: usize = 512;

/// What a caller publishes.
#[derive(Debug)]
pub(crate) struct NewPublication {
    pub(crate) channel: ChannelName,
    pub(crate) kind: PayloadKind,
    pub(crate) data: Bytes,
    pub(crate) idempotency_key: Option<Bytes>,
}

impl Shared {
    /// Requests that the engine stores a publication. Returns the weight of the request, or why it is rejected. `taken` is
    /// what the publication has taken of its caller's quotas; an application has none.
    pub(crate) fn append(
        &mut self,
        caller: Caller,
        form: PublishForm,
        publisher: Publisher,
        publication: NewPublication,
        taken: Option<Taken>,
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
        let key_bytes = idempotency_key.as_ref().map_or(0, Bytes::len);
        let bytes = APPEND_OVERHEAD_BYTES + channel.as_str().len() + data.len() + key_bytes;
        if !self.has_request_capacity(bytes) {
            return Err(ErrorCode::TooManyRequests);
        }
        let purpose = Purpose::Publish {
            form,
            channel: channel.clone(),
            taken: taken.unwrap_or_default(),
        };
        let weight = self.request(caller, purpose, bytes, |request_id| {
            Request::Append(Append {
                request_id,
                channel,
                data,
                kind,
                retention: RetentionClass::Kept,
                publisher,
                idempotency_key,
                may_create_channel: taken.is_none_or(|taken| taken.channel),
            })
        });
        Ok(weight)
    }
}
