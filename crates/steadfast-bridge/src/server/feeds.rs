//! The subscriptions at the server. They are owned here, and not by tasks, so that one has ended when it is removed: another
//! one with the same name can follow at once.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use steadfast::jsonrpc::{Subscription, SubscriptionEvent};

use crate::io::{Input, TopicNumber};
use crate::reply;
use crate::upstream::{self, Upstream};

/// All subscriptions at the server.
#[derive(Debug)]
pub(super) struct Feeds {
    events: Events,
    topics: BTreeMap<TopicNumber, Subscription>,
}

#[derive(Debug)]
struct Events {
    subscription: Subscription,
    is_interrupted: bool,
}

impl Feeds {
    pub(super) fn new(upstream: &Upstream) -> Self {
        let events = Events {
            subscription: upstream.notifications(reply::EVENT),
            is_interrupted: false,
        };
        Self {
            events,
            topics: BTreeMap::new(),
        }
    }

    pub(super) fn subscribe(&mut self, topic: TopicNumber, subscription: Subscription) {
        self.topics.insert(topic, subscription);
    }

    /// Dropping a subscription ends it at the server.
    pub(super) fn unsubscribe(&mut self, topic: TopicNumber) {
        self.topics.remove(&topic);
    }

    /// The next event that requires something. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Input {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Events are first: those from before a lost connection precede the gap, and those from before an end the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        while let Some(event) = next_of(&mut self.events.subscription, context) {
            if let Some(input) = self.events.input_of(event) {
                return Poll::Ready(input);
            }
        }
        for (topic, subscription) in &mut self.topics {
            while let Some(event) = next_of(subscription, context) {
                if let Some(event) = upstream::topic_event(event) {
                    let topic = *topic;
                    return Poll::Ready(Input::Topic { topic, event });
                }
            }
        }
        Poll::Pending
    }
}

/// An event that has arrived; `None` if there is none now, or no further one.
fn next_of(
    subscription: &mut Subscription,
    context: &mut Context<'_>,
) -> Option<SubscriptionEvent> {
    match pin!(subscription.next()).poll(context) {
        Poll::Ready(event) => event,
        Poll::Pending => None,
    }
}

impl Events {
    fn input_of(&mut self, event: SubscriptionEvent) -> Option<Input> {
        match event {
            SubscriptionEvent::Item(params) => Some(Input::Notified { params }),
            SubscriptionEvent::Interrupted { .. } => {
                self.is_interrupted = true;
                None
            }
            // A gap after an interruption is reported for each subscription, once it is active again.
            SubscriptionEvent::Gap { .. } if !std::mem::take(&mut self.is_interrupted) => {
                Some(Input::EventsDropped)
            }
            SubscriptionEvent::Gap { .. }
            | SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Resumed { .. }
            | SubscriptionEvent::Unsubscribed(_)
            | _ => None,
        }
    }
}
