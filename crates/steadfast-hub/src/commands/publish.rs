//! The commands that publish, and their acknowledgement once the publication is committed.

use bytes::Bytes;
use steadfast_engine::{Publisher, Response};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::message::{PublishRequest, ReplyError, ReplyResult, RpcRequest};

use super::ChannelCommand;
use crate::append::NewPublication;
use crate::channels::Channels;
use crate::from_engine::rejection_code;
use crate::peer::Peer;
use crate::peer::channel_order::Effect;
use crate::pending::{Caller, PublishForm};
use crate::shared::Shared;

/// What a publish command appends, or why it is rejected.
pub(super) fn published(
    channels: &Channels,
    request: PublishRequest,
) -> Result<ChannelCommand, ReplyError> {
    let PublishRequest {
        channel,
        data,
        payload_kind,
        kind,
    } = request;
    if kind != 0 {
        return Err(ErrorCode::NotAvailable.reply());
    }
    Ok(ChannelCommand::Publish {
        form: PublishForm::Plain,
        publication: NewPublication {
            channel: channels.name(&channel),
            kind: payload_kind,
            data,
            idempotency_key: None,
        },
    })
}

/// What a call of a method does, or why it is rejected.
pub(super) fn called(shared: &Shared, request: &RpcRequest) -> Result<ChannelCommand, ReplyError> {
    if request.method != idempotent::METHOD {
        return Err(ErrorCode::NotAvailable.reply());
    }
    let IdempotentPublish {
        channel,
        data,
        idempotency_key,
    } = idempotent::decode_publish(&request.data, &shared.context.settings().limits).map_err(
        |error| ErrorCode::for_idempotent_publish_error(&error).reply_with(error.to_string()),
    )?;
    Ok(ChannelCommand::Publish {
        form: PublishForm::Idempotent,
        publication: NewPublication {
            channel: shared.channels.name(&channel),
            kind: idempotent::PAYLOAD_KIND,
            data,
            idempotency_key: Some(Bytes::from(idempotency_key)),
        },
    })
}

impl Peer {
    pub(super) fn append(
        &mut self,
        shared: &mut Shared,
        command: u32,
        form: PublishForm,
        publication: NewPublication,
    ) {
        let publisher = Publisher {
            user: Bytes::copy_from_slice(self.user().as_bytes()),
            client: Bytes::from(self.client.to_string()),
        };
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        let channel = publication.channel.clone();
        match shared.append(caller, form, publisher, publication) {
            Ok(weight) => {
                self.channel_order_mut().begin(Effect::Publish, &channel);
                self.reserve(&mut shared.context, weight);
            }
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
