//! Publishing: the request to the engine, and the acknowledgement once the publication is committed.

use bytes::Bytes;
use steadfast_engine::{Append, Publisher, Request, Response, RetentionClass};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::message::{PayloadKind, PublishRequest, ReplyResult, RpcRequest};

use crate::from_engine::rejection_code;
use crate::peer::Peer;
use crate::pending::{Caller, PublishForm, Purpose};
use crate::shared::Shared;

/// What a peer publishes.
struct NewPublication<'a> {
    channel: &'a str,
    kind: PayloadKind,
    data: Bytes,
    idempotency_key: Option<Bytes>,
}

impl Peer {
    pub(super) fn publish(&mut self, shared: &mut Shared, command: u32, request: PublishRequest) {
        if request.kind != 0 {
            return self.reject(&mut shared.context, command, ErrorCode::NotAvailable);
        }
        let PublishRequest {
            channel,
            data,
            payload_kind,
            kind: _,
        } = request;
        let publication = NewPublication {
            channel: &channel,
            kind: payload_kind,
            data,
            idempotency_key: None,
        };
        self.append(shared, command, PublishForm::Plain, publication);
    }

    pub(super) fn rpc(&mut self, shared: &mut Shared, command: u32, request: &RpcRequest) {
        if request.method != idempotent::METHOD {
            return self.reject(&mut shared.context, command, ErrorCode::NotAvailable);
        }
        match idempotent::decode_publish(&request.data, &shared.context.settings().limits) {
            Ok(IdempotentPublish {
                channel,
                data,
                idempotency_key,
            }) => {
                let publication = NewPublication {
                    channel: &channel,
                    kind: idempotent::PAYLOAD_KIND,
                    data,
                    idempotency_key: Some(Bytes::from(idempotency_key)),
                };
                self.append(shared, command, PublishForm::Idempotent, publication);
            }
            Err(error) => {
                let code = ErrorCode::for_idempotent_publish_error(&error);
                let error = code.reply_with(error.to_string());
                self.reject_with(&mut shared.context, command, error);
            }
        }
    }

    fn append(
        &mut self,
        shared: &mut Shared,
        command: u32,
        form: PublishForm,
        publication: NewPublication<'_>,
    ) {
        let NewPublication {
            channel,
            kind,
            data,
            idempotency_key,
        } = publication;
        if channel.is_empty() || data.is_empty() {
            return self.reject(&mut shared.context, command, ErrorCode::BadRequest);
        }
        if !shared.has_request_capacity() {
            return self.reject(&mut shared.context, command, ErrorCode::TooManyRequests);
        }
        let publisher = Publisher {
            user: Bytes::copy_from_slice(self.user().as_bytes()),
            client: Bytes::from(self.client.to_string()),
        };
        let channel = shared.channels.name(channel);
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        let weight = shared.request(caller, Purpose::Publish { form }, |request_id| {
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
        self.reserve(&mut shared.context, weight);
    }

    /// Acknowledges a publication: its record is committed, and it has been delivered to every shard.
    ///
    /// # Panics
    ///
    /// If the response is that to a read: a bug in the driver.
    pub(crate) fn on_published(
        &self,
        shared: &mut Shared,
        command: u32,
        form: PublishForm,
        response: &Response,
    ) {
        let context = &mut shared.context;
        match (response, form) {
            (Response::Appended { .. }, PublishForm::Plain) => {
                self.reply(context, command, ReplyResult::Publish);
            }
            (
                Response::Appended {
                    epoch,
                    offset,
                    is_duplicate,
                },
                PublishForm::Idempotent,
            ) => {
                let ack = IdempotentAck {
                    epoch: epoch.to_string(),
                    offset: *offset,
                    duplicate: *is_duplicate,
                };
                let mut result = Vec::new();
                idempotent::append_ack(&mut result, &ack);
                self.reply(context, command, ReplyResult::Rpc(Bytes::from(result)));
            }
            (Response::Rejected(rejection), PublishForm::Plain | PublishForm::Idempotent) => {
                self.reject(context, command, rejection_code(*rejection));
            }
            (Response::Read(_), PublishForm::Plain | PublishForm::Idempotent) => {
                unreachable!("the engine responds to an append with its offset")
            }
        }
    }
}
