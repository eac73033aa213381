//! What a simple client receives: decodes bytes, handles messages, and reports what they contain to the reference model.

use bytes::Bytes;
use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode};
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Position, Publication, Push, PushEvent, Reply, ReplyError, ReplyResult, SubscribeResult,
};
use steadfast_protocol::websocket::EndpointEvent;

use super::{ClientAction, FURTHER_PREFIX, INVALID_OFFSET, PendingCommand, Received, SimpleClient};
use crate::recorder::{Recorder, key_in_payload};
use crate::reference_model::Invariant;
use crate::words;

impl SimpleClient {
    /// Decodes received bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Received {
        let mut input = bytes.to_vec();
        let mut received = Received::default();
        let mut reading = self.decoder.read(&mut input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            match event {
                EndpointEvent::Message { payload, .. } => {
                    received.messages.push(Bytes::copy_from_slice(payload));
                }
                EndpointEvent::Ping { reply } => received.controls.push(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
                // The connection is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { .. } => received.is_closed = true,
                EndpointEvent::Failed { error, .. } => panic!("a hub sends valid frames: {error}"),
            }
        }
        received
    }

    /// Handles a message.
    pub(crate) fn handle_message(
        &mut self,
        message: &Bytes,
        recorder: &mut Recorder<'_>,
    ) -> Vec<ClientAction> {
        let mut actions = Vec::new();
        for reply in self.encoding.decode_replies(message, &LIMITS) {
            self.handle_reply(
                reply.expect("a hub sends valid replies"),
                recorder,
                &mut actions,
            );
        }
        actions
    }

    fn handle_reply(
        &mut self,
        reply: Reply,
        recorder: &mut Recorder<'_>,
        actions: &mut Vec<ClientAction>,
    ) {
        match reply {
            Reply::Ping => actions.push(ClientAction::Send(self.pong())),
            Reply::Push(Push { channel, event }) => {
                self.handle_push(channel.as_str(), event, recorder, actions);
            }
            Reply::Response { id, outcome } => match (self.pending.remove(&id), outcome) {
                (Some(PendingCommand::Connect), Ok(_)) => {
                    self.is_connected = true;
                    actions.extend(self.resend().into_iter().map(ClientAction::Send));
                }
                (Some(PendingCommand::Subscribe { index, number, .. }), _)
                    if !self.is_last_request(index, number) => {}
                (
                    Some(PendingCommand::Subscribe { index, from, .. }),
                    Ok(ReplyResult::Subscribe(result)),
                ) => {
                    self.handle_subscribed(index, from.as_ref(), result, recorder);
                }
                (Some(PendingCommand::SubscribeFurther), Ok(ReplyResult::Subscribe(_))) => {
                    self.further_missing -= 1;
                    recorder.totals.subscribed_at_once += u64::from(self.further_missing == 0);
                }
                (Some(PendingCommand::Publish { number }), Ok(ReplyResult::Rpc(data))) => {
                    self.handle_ack(number, &data, recorder);
                }
                (Some(PendingCommand::Publish { number }), Err(error))
                    if is_reuse(&error) && self.reused.contains(&number) =>
                {
                    // The first publication was lost, and its key belongs to the other data since then.
                    self.outbox.remove(&number);
                }
                (Some(PendingCommand::Publish { .. }), Err(_)) => {
                    if !self.will_resend {
                        self.will_resend = true;
                        actions.push(ClientAction::ResendLater);
                    }
                }
                (Some(PendingCommand::PublishOtherData { number }), Ok(ReplyResult::Rpc(data))) => {
                    self.handle_other_ack(number, &data, recorder);
                }
                (Some(PendingCommand::PublishOtherData { .. }), Err(error)) => {
                    recorder.totals.other_data_rejected += u64::from(is_reuse(&error));
                }
                (
                    Some(
                        PendingCommand::Connect
                        | PendingCommand::Subscribe { .. }
                        | PendingCommand::SubscribeFurther,
                    ),
                    Err(_),
                ) => actions.push(ClientAction::Close),
                (
                    Some(
                        PendingCommand::Presence
                        | PendingCommand::Unsubscribe
                        | PendingCommand::History,
                    ),
                    _,
                ) => {}
                (_, outcome) => {
                    let reason = outcome.err().map_or_else(
                        || "a reply that does not fit a command".to_owned(),
                        |error| format!("error {}: {}", error.code, error.message),
                    );
                    let details = format!("{} got {reason}", self.name);
                    recorder
                        .reference_model
                        .report_violation(Invariant::RepliesMatchCommands, details);
                }
            },
        }
    }

    /// Subscribes again to a further channel whose position was lost.
    fn subscribe_again(&mut self, number: &str, event: &PushEvent) -> Option<ClientAction> {
        assert!(
            matches!(event, PushEvent::Unsubscribe { code, .. } if *code == UnsubscribeCode::Insufficient.code()),
            "unexpected push {event:?}"
        );
        self.further_missing += 1;
        let mut message = Vec::new();
        self.subscribe_further(&mut message, number.parse().ok()?);
        Some(ClientAction::Send(Bytes::from(message)))
    }

    fn handle_push(
        &mut self,
        channel: &str,
        event: PushEvent,
        recorder: &mut Recorder<'_>,
        actions: &mut Vec<ClientAction>,
    ) {
        if let Some(number) = channel.strip_prefix(FURTHER_PREFIX) {
            return actions.extend(self.subscribe_again(number, &event));
        }
        let mut subscriptions = self.subscriptions.iter();
        let Some(index) = subscriptions.position(|it| it.channel == channel) else {
            let details = format!(
                "{} got a push of {channel}, to which it is not subscribed",
                self.name
            );
            return recorder
                .reference_model
                .report_violation(Invariant::RepliesMatchCommands, details);
        };
        let subscription = self.subscriptions.get(index);
        if subscription.is_some_and(|it| it.is_being_replaced) {
            // It belongs to the former subscription, whose position the client has sent already.
            return;
        }
        match event {
            PushEvent::Publication(publication) => {
                self.handle_publication(index, &publication, recorder);
            }
            PushEvent::Unsubscribe { code, .. } => {
                assert_eq!(
                    code,
                    UnsubscribeCode::Insufficient.code(),
                    "unexpected unsubscribe code"
                );
                recorder.totals.resubscribed += 1;
                if let Some(subscription) = self.subscriptions.get_mut(index) {
                    subscription.is_live = false;
                }
                let mut message = Vec::new();
                self.subscribe(&mut message, index, false);
                actions.push(ClientAction::Send(Bytes::from(message)));
            }
            PushEvent::Join(_) | PushEvent::Leave(_) => {}
            other @ (PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Disconnect { .. }
            | PushEvent::Refresh { .. }) => unreachable!("unexpected push {other:?}"),
        }
    }

    fn handle_subscribed(
        &mut self,
        index: usize,
        from: Option<&Position>,
        result: SubscribeResult,
        recorder: &mut Recorder<'_>,
    ) {
        let SubscribeResult {
            position,
            publications,
            recovered,
            ..
        } = result;
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        subscription.is_live = true;
        subscription.is_being_replaced = false;
        subscription.position = Some(position.clone());
        let Some(from) = from else { return };
        let summary = format!(
            "{} subscribed to {} after {}, got {}",
            self.name,
            subscription.channel,
            words::position(from),
            words::position(&position)
        );
        if from.offset >= INVALID_OFFSET {
            recorder.totals.invalid_positions += 1;
            if recovered {
                recorder
                    .reference_model
                    .report_violation(Invariant::RecoveryComplete, summary);
            }
        } else if recovered {
            recorder.totals.recovered += 1;
            if position != *from {
                recorder
                    .reference_model
                    .report_violation(Invariant::RecoveryComplete, summary);
            }
            for publication in &publications {
                self.handle_publication(index, publication, recorder);
            }
        } else {
            recorder.totals.unrecovered += 1;
            let is_beyond_retention = recorder.is_beyond_retention(from, &position);
            recorder.totals.positions_beyond_retention += u64::from(is_beyond_retention);
            if recorder.must_recover(from, &position) {
                let details = format!("{summary}, not recovered");
                recorder
                    .reference_model
                    .report_violation(Invariant::NoAcknowledgedLoss, details);
            }
        }
    }

    fn handle_publication(
        &mut self,
        index: usize,
        publication: &Publication,
        recorder: &mut Recorder<'_>,
    ) {
        recorder.totals.delivered += 1;
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let Some(position) = &mut subscription.position else {
            return;
        };
        let (expected, offset) = (position.offset + 1, publication.offset);
        let details = || {
            format!(
                "{} expected offset {expected} of {}, got {offset}",
                self.name, subscription.channel
            )
        };
        if !subscription.is_live || offset < expected {
            recorder
                .reference_model
                .report_violation(Invariant::NoDuplicateDelivery, details());
        } else if offset > expected {
            recorder
                .reference_model
                .report_violation(Invariant::OrderPreserved, details());
        }
        recorder.reference_model.deliver(
            &subscription.channel,
            &position.epoch,
            offset,
            key_in_payload(&publication.data),
        );
        position.offset = offset;
    }

    /// Other data with a known key must not be acknowledged as if it was stored.
    fn handle_other_ack(&self, number: u64, data: &Bytes, recorder: &mut Recorder<'_>) {
        let ack = idempotent::decode_ack(data, &LIMITS)
            .expect("a hub acknowledges a publication with its position");
        if ack.duplicate {
            let details = format!("{} was acknowledged with other data", self.key(number));
            recorder
                .reference_model
                .report_violation(Invariant::KeysIdentifyData, details);
        }
    }

    fn handle_ack(&mut self, number: u64, data: &Bytes, recorder: &mut Recorder<'_>) {
        let ack = idempotent::decode_ack(data, &LIMITS)
            .expect("a hub acknowledges a publication with its position");
        recorder.totals.duplicates_acknowledged += u64::from(ack.duplicate);
        let Some(index) = self.outbox.remove(&number) else {
            return;
        };
        self.acknowledged.insert(number, index);
        let Some(subscription) = self.subscriptions.get(index) else {
            return;
        };
        recorder.totals.acknowledged += 1;
        recorder.reference_model.acknowledge(
            &subscription.channel,
            &self.key(number),
            &ack.epoch,
            ack.offset,
        );
    }
}

/// Whether a publication is rejected because its key was used with other data.
fn is_reuse(error: &ReplyError) -> bool {
    error.code == ErrorCode::BadRequest.code()
}

const LIMITS: Limits = Limits::REPLIES;
