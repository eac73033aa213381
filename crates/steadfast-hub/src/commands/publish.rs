//! The commands that publish, and their acknowledgement once the publication is committed.

use bytes::Bytes;
use steadfast_engine::{Publisher, Response};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::message::{PublishRequest, ReplyResult, RpcRequest};

use crate::append::NewPublication;
use crate::from_engine::rejection_code;
use crate::peer::Peer;
use crate::pending::{Caller, PublishForm};
use crate::shared::Shared;

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
        let publisher = Publisher {
            user: Bytes::copy_from_slice(self.user().as_bytes()),
            client: Bytes::from(self.client.to_string()),
        };
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        match shared.append(caller, form, publisher, publication) {
            Ok(weight) => self.reserve(&mut shared.context, weight),
            Err(code) => self.reject(&mut shared.context, command, code),
        }
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
