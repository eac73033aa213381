//! The commands that publish, and their acknowledgement once the publication is committed.

use bytes::Bytes;
use steadfast_engine::{Publisher, Response};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::message::{PublishRequest, ReplyError, ReplyResult, RpcRequest};

use super::ChannelCommand;
use crate::append::NewPublication;
use crate::channels::Channels;
use crate::context::Context;
use crate::event::HubLimit;
use crate::from_engine::rejection_code;
use crate::peer::Peer;
use crate::peer::channel_order::Effect;
use crate::pending::{Caller, PublishForm};
use crate::quota::Taken;
use crate::rejections::RejectionCause;
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
        return Err(ErrorCode::MethodNotFound.reply());
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
        let context = &mut shared.context;
        let Some(taken) = self.take_quotas(context, publication.idempotency_key.is_some()) else {
            let limit = HubLimit::KeysPerPeer;
            context.record_rejection(RejectionCause::Limit(limit));
            return self.reject(context, command, ErrorCode::TooManyRequests);
        };
        let publisher = Publisher {
            user: Bytes::copy_from_slice(self.user().as_bytes()),
            client: Bytes::from(self.client.to_string()),
        };
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        let channel = publication.channel.clone();
        match shared.append(caller, form, publisher, publication, Some(taken)) {
            Ok(weight) => {
                self.channel_order_mut().begin(Effect::Publish, &channel);
                self.reserve(&mut shared.context, weight);
            }
            Err(code) => {
                self.give_back_taken(&shared.context, taken);
                self.reject(&mut shared.context, command, code);
            }
        }
    }

    /// Takes what a publication may use of the quotas. A publication that may not create a channel can still be published
    /// to one that exists. Returns `None` if its idempotency key exceeds the quota.
    fn take_quotas(&mut self, context: &Context, has_key: bool) -> Option<Taken> {
        let settings = context.settings();
        let quotas = self.quotas.get_or_insert_default();
        let key = has_key && quotas.keys.take(context.now, settings.keys_per_peer);
        if has_key && !key {
            return None;
        }
        let channel = quotas
            .channels
            .take(context.now, settings.new_channels_per_peer);
        Some(Taken { channel, key })
    }

    /// Gives back what a publication has not used.
    pub(crate) fn give_back(&mut self, shared: &Shared, taken: Taken, response: &Response) {
        let used = match response {
            Response::Appended {
                is_duplicate,
                creates_channel,
                ..
            } => Taken {
                channel: *creates_channel,
                key: !is_duplicate,
            },
            Response::Read(_) | Response::Rejected(_) => Taken::default(),
        };
        let unused = Taken {
            channel: taken.channel && !used.channel,
            key: taken.key && !used.key,
        };
        self.give_back_taken(&shared.context, unused);
    }

    fn give_back_taken(&mut self, context: &Context, taken: Taken) {
        let settings = context.settings();
        if let Some(quotas) = &mut self.quotas {
            if taken.channel {
                quotas.channels.give_back(settings.new_channels_per_peer);
            }
            if taken.key {
                quotas.keys.give_back(settings.keys_per_peer);
            }
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
                    creates_channel: _,
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
