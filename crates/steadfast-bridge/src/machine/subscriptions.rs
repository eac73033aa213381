//! Subscriptions of programs: one at the server for each name, whose events go to all programs that subscribed.

use bytes::Bytes;
use serde_json::Value;
use steadfast_protocol::jsonrpc::ErrorObject;

use super::Bridge;
use crate::io::{Output, ProgramId, TopicEvent, TopicNumber};
use crate::reply::{self, codes};
use crate::request::{self, RawId, Request};
use crate::topics::Waiter;

impl Bridge {
    pub(super) fn on_subscribe(&mut self, program: ProgramId, request: &Request) {
        let Some(name) = request.first_string() else {
            let error = reply::invalid_params("event", "Field required");
            self.reject(program, request.id.as_ref(), &error);
            return;
        };
        if let Some(error) = self.subscription_refusal(program, &name) {
            self.reject(program, request.id.as_ref(), &error);
            return;
        }
        if self.topics.get(&name).is_some_and(|topic| topic.is_active) {
            self.accept(program, &name, request.id.as_ref());
            return;
        }
        if self.topics.get(&name).is_none() {
            let topic = self.topics.add(&name);
            let name = name.clone();
            self.outputs.push_back(Output::Subscribe { topic, name });
        }
        if let Some(owner) = self.programs.get_mut(&program) {
            owner.requested_subscriptions += 1;
        }
        let waiter = Waiter {
            program,
            id: request.id.clone(),
            deadline: self.now + request.time_limit(&self.policy),
        };
        self.topics.wait(&name, waiter);
    }

    fn subscription_refusal(&self, program: ProgramId, name: &str) -> Option<ErrorObject> {
        if let Some(reason) = self.refusal() {
            return Some(reply::not_sent(&reason));
        }
        let owner = self.programs.get(&program)?;
        let own = owner.subscriptions.len() + owner.requested_subscriptions;
        if own >= self.policy.subscriptions_max {
            let limit = self.policy.subscriptions_max;
            let text = format!("the limit of {limit} subscriptions of a program is reached");
            return Some(reply::not_sent(&text));
        }
        let is_new = self.topics.get(name).is_none();
        if is_new && self.topics.len() >= self.policy.topics_max {
            let limit = self.policy.topics_max;
            let text = format!("the limit of {limit} subscriptions of the bridge is reached");
            return Some(reply::not_sent(&text));
        }
        None
    }

    /// A subscription of a program begins.
    fn accept(&mut self, program: ProgramId, name: &str, id: Option<&RawId>) {
        self.last_subscription += 1;
        // In the form of the server's, which programs may check.
        let (of_program, number) = (program.0 & 0xffff_ffff, self.last_subscription);
        let subscription = format!("{of_program:08x}-0000-4000-8000-{number:012x}");
        let Some(owner) = self.programs.get_mut(&program) else {
            return;
        };
        let result = Value::from(subscription.as_str()).to_string();
        owner.subscriptions.insert(subscription, name.to_owned());
        self.topics.subscribe(name, program);
        if let Some(id) = id {
            self.send(program, reply::result(id, result.as_bytes()));
        }
    }

    pub(super) fn on_unsubscribe(&mut self, program: ProgramId, request: &Request) {
        let subscription = request.first_string().unwrap_or_default();
        let owner = self.programs.get_mut(&program);
        if let Some(name) = owner.and_then(|it| it.subscriptions.remove(&subscription)) {
            let unused = self.topics.unsubscribe(&name, program);
            self.unsubscribe(unused);
        }
    }

    pub(super) fn unsubscribe(&mut self, topics: impl IntoIterator<Item = TopicNumber>) {
        let outputs = topics
            .into_iter()
            .map(|topic| Output::Unsubscribe { topic });
        self.outputs.extend(outputs);
    }

    pub(super) fn on_topic(&mut self, topic: TopicNumber, event: TopicEvent) {
        match event {
            TopicEvent::Started => self.activate(topic),
            TopicEvent::Interrupted => self.topics.interrupt(topic),
            TopicEvent::Restarted => {
                self.report_gap(topic);
                self.activate(topic);
            }
            TopicEvent::Ended(error) => {
                let Some((name, subscribers, waiters)) = self.topics.end(topic) else {
                    return;
                };
                self.end(&name, &subscribers, &reply::unsubscribed(&name, &error));
                for waiter in waiters {
                    self.reject_waiter(&waiter, &error);
                }
                self.outputs.push_back(Output::Unsubscribe { topic });
            }
        }
    }

    /// Those who wait are subscribed now.
    fn activate(&mut self, topic: TopicNumber) {
        let Some((name, waiters)) = self.topics.activate(topic) else {
            return;
        };
        for waiter in waiters {
            self.forget_request(waiter.program);
            self.accept(waiter.program, &name, waiter.id.as_ref());
        }
    }

    /// Those who were subscribed before may miss events.
    fn report_gap(&mut self, topic: TopicNumber) {
        let found = self.topics.with_number(topic);
        if let Some((name, subscribers)) = found {
            let text = reply::gap(&name, "reconnected");
            self.send_to_all(&subscribers, &text);
        }
    }

    pub(super) fn on_events_dropped(&mut self) {
        for (name, subscribers) in self.topics.active() {
            self.send_to_all(&subscribers, &reply::gap(&name, "overflow"));
        }
    }

    pub(super) fn on_notified(&mut self, params: &Bytes) {
        let Some(collection) = request::string_member(params, "collection") else {
            return;
        };
        let text = reply::notification(reply::EVENT, params);
        let receivers = self.topics.receivers(&collection);
        self.send_to_all(&receivers, &text);
    }

    /// A subscription at the server has ended: so have those of the programs.
    fn end(&mut self, name: &str, subscribers: &[ProgramId], text: &Bytes) {
        for program in subscribers {
            if let Some(owner) = self.programs.get_mut(program) {
                owner.subscriptions.retain(|_, topic| topic != name);
            }
        }
        self.send_to_all(subscribers, text);
    }

    pub(super) fn expire_subscriptions(&mut self) {
        let (expired, unused) = self.topics.expire(self.now);
        let text = "The subscription did not begin in time";
        let error = reply::outcome(codes::TIMED_OUT, text, "timed_out", false);
        for waiter in expired {
            self.reject_waiter(&waiter, &error);
        }
        self.unsubscribe(unused);
    }

    pub(super) fn reject_waiter(&mut self, waiter: &Waiter, error: &ErrorObject) {
        self.forget_request(waiter.program);
        self.reject(waiter.program, waiter.id.as_ref(), error);
    }

    fn forget_request(&mut self, program: ProgramId) {
        if let Some(owner) = self.programs.get_mut(&program) {
            owner.requested_subscriptions = owner.requested_subscriptions.saturating_sub(1);
        }
    }

    fn send_to_all(&mut self, programs: &[ProgramId], text: &Bytes) {
        for program in programs {
            self.send(*program, text.clone());
        }
    }
}
