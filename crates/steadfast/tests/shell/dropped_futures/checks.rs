//! What must be true of a client after one of its futures was dropped.

use std::time::Duration;

use steadfast::centrifuge::{CallError, Item, SendError, SendResult, SubscriptionEvent};
use steadfast::error::RequestError;

use super::cases::{CALL, Completed, DROPPED, GONE, Outcome};
use super::scripted_peer::{PUBLICATIONS, Script};
use super::steps::Steps as _;
use super::world::{FIRST, Handles, KEPT, OUTBOX_LEN, State, World};

/// The call after the future, whose reply shows that the server has everything before it.
const FENCE: &str = "fence";

/// A client after a future was dropped.
pub(super) struct Checked {
    pub(super) world: World,
    pub(super) handles: Handles,
    pub(super) label: String,
}

impl Checked {
    /// Checks the client after the future; `was_sent` says whether a command of it may have been sent, and `is_closed`
    /// whether the client must end.
    pub(super) async fn dropped(
        &mut self,
        completed: Option<Completed>,
        was_sent: bool,
        is_closed: bool,
    ) {
        let has_called = completed.is_some();
        let (mut outcome, mut receipt, mut event) = (None, None, None);
        match completed {
            Some(Completed::Outcome(it)) => outcome = Some(it),
            Some(Completed::Receipt(Ok(it))) => receipt = Some(it),
            Some(Completed::Event(it)) => event = it,
            Some(Completed::Receipt(Err(_)) | Completed::Closed | Completed::Other) | None => {}
        }
        if is_closed {
            self.world.release();
            self.world.until("the end", World::is_finished).await;
        } else {
            self.world.heal().await;
            let fence = self.world.client.clone();
            let replied = self.world.complete(fence.rpc(FENCE, &1)).await;
            assert!(replied.is_ok(), "{}: {replied:?}", self.label);
        }
        self.no_call_after_its_caller_gave_up(was_sent || has_called);
        self.one_outcome_each(outcome, receipt, is_closed).await;
        if is_closed {
            return self.everything_has_ended().await;
        }
        self.every_event_once(event).await;
        self.no_subscription_is_left().await;
        self.the_whole_outbox_is_free().await;
        self.connections(1).await;
    }

    fn no_call_after_its_caller_gave_up(&self, may_be_executed: bool) {
        let calls = self.world.peer.calls.iter();
        let calls = calls.filter(|it| *it == CALL).count();

        assert!(
            calls <= usize::from(may_be_executed),
            "{}: {calls}",
            self.label
        );
    }

    async fn one_outcome_each(
        &mut self,
        outcome: Option<SendResult>,
        sent: Option<Outcome>,
        is_closed: bool,
    ) {
        let is_sent = sent.is_some();
        let handles = &mut self.handles;
        let earlier = [handles.receipt.take(), handles.second_receipt.take()];
        let mut outcomes = Vec::from_iter(outcome);
        if let Some(receipt) = sent {
            outcomes.push(self.world.complete(receipt).await);
        }
        for receipt in earlier.into_iter().flatten() {
            outcomes.push(self.world.complete(receipt).await);
        }
        let is_failed = self.world.state == State::Failed;
        for outcome in outcomes {
            let is_failure = matches!(outcome, Err(SendError::Failed(_)));
            let is_stored = outcome.is_ok();
            let is_end = matches!(outcome, Err(SendError::Closed | SendError::Interrupted));
            let is_expected =
                is_failure == is_failed && (is_failed || is_stored || (is_closed && is_end));
            assert!(is_expected, "{}: {outcome:?}", self.label);
        }
        let arrived = |key| self.world.peer.publications.get(key).copied().unwrap_or(0);
        let expected = usize::from(is_sent && !is_failed);
        assert_eq!(arrived(DROPPED), expected, "{}", self.label);
        if !is_closed {
            assert_eq!(arrived(FIRST), usize::from(!is_failed), "{}", self.label);
        }
    }

    /// A closed client says so, and its connection has ended.
    async fn everything_has_ended(&mut self) {
        let client = self.world.client.clone();
        let publication = client.publish("news", &1);
        let call = self.world.complete(client.rpc(CALL, &1)).await;
        let closed = self.world.complete(client.close(Duration::ZERO)).await;

        assert!(
            matches!(publication, Err(RequestError::Closed)),
            "{}",
            self.label
        );
        assert_eq!(call, Err(CallError::Closed), "{}", self.label);
        assert_eq!(closed, Ok(()), "{}", self.label);
        self.world.peer.script = Script::Serve;
        self.connections(0).await;
        while self
            .world
            .complete(self.handles.subscription.next())
            .await
            .is_some()
        {}
    }

    async fn every_event_once(&mut self, first: Option<SubscriptionEvent>) {
        let mut events = Vec::from_iter(first);
        while events.len() <= usize::try_from(PUBLICATIONS).unwrap() {
            let next = self.world.complete(self.handles.subscription.next()).await;
            events.push(next.expect("an active subscription"));
        }
        let offset = |event: &SubscriptionEvent| {
            if let SubscriptionEvent::Item(Item::Publication(it)) = event {
                return Some(it.offset);
            }
            matches!(event, SubscriptionEvent::Subscribed { .. }).then_some(0)
        };
        let offsets: Vec<Option<u64>> = events.iter().map(offset).collect();
        let expected: Vec<Option<u64>> = (0..=PUBLICATIONS).map(Some).collect();
        assert_eq!(offsets, expected, "{}", self.label);
    }

    /// While a subscription exists, another one for its channel would end immediately.
    async fn no_subscription_is_left(&mut self) {
        let is_removed = |it: &World| !it.peer.channels.contains(GONE);
        self.world.until("an unsubscribe command", is_removed).await;
        let mut again = self.world.client.subscribe(GONE);
        let event = self.world.complete(again.next()).await;

        let is_subscribed = matches!(event, Some(SubscriptionEvent::Subscribed { .. }));
        assert!(is_subscribed, "{}: {event:?}", self.label);
        assert!(self.world.peer.channels.contains(KEPT), "{}", self.label);
    }

    async fn the_whole_outbox_is_free(&mut self) {
        let mut receipts = Vec::new();
        for _ in 0..OUTBOX_LEN {
            let receipt = self.world.client.publish("news", &1);
            receipts.push(receipt.expect("space in the outbox"));
        }
        let full = self.world.client.publish("news", &1);

        assert!(
            matches!(full, Err(RequestError::OutboxFull)),
            "{}",
            self.label
        );
        for receipt in receipts {
            let outcome = self.world.complete(receipt).await;
            assert!(outcome.is_ok(), "{}: {outcome:?}", self.label);
        }
    }

    async fn connections(&mut self, count: usize) {
        let has_ended = |it: &World| it.peer.open_connections() == count;
        self.world.until("the end of a connection", has_ended).await;
    }
}
