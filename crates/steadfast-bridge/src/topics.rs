//! The subscriptions at the server, one for each name, and the programs that share them.

use std::collections::{BTreeMap, VecDeque};

use steadfast_machine::Instant;

use crate::io::{ProgramId, TopicNumber};
use crate::request::RawId;

/// The name that means all collections.
const ALL: &str = "*";

/// A request of a program for a subscription that is not active yet.
pub(crate) struct Waiter {
    pub(crate) program: ProgramId,
    /// `None` if the program expects no reply.
    pub(crate) id: Option<RawId>,
    pub(crate) deadline: Instant,
}

/// A subscription at the server.
pub(crate) struct Topic {
    pub(crate) number: TopicNumber,
    /// Whether events arrive; otherwise it is being requested.
    pub(crate) is_active: bool,
    /// The number of subscriptions of each program.
    subscribers: BTreeMap<ProgramId, usize>,
    waiters: VecDeque<Waiter>,
}

/// All subscriptions at the server.
#[derive(Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    last: u64,
}

impl Topics {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    /// Adds a topic that is being requested.
    pub(crate) fn add(&mut self, name: &str) -> TopicNumber {
        self.last += 1;
        let number = TopicNumber(self.last);
        let topic = Topic {
            number,
            is_active: false,
            subscribers: BTreeMap::new(),
            waiters: VecDeque::new(),
        };
        self.by_name.insert(name.to_owned(), topic);
        number
    }

    pub(crate) fn wait(&mut self, name: &str, waiter: Waiter) {
        if let Some(topic) = self.by_name.get_mut(name) {
            topic.waiters.push_back(waiter);
        }
    }

    /// Counts a subscription of a program.
    pub(crate) fn subscribe(&mut self, name: &str, program: ProgramId) {
        if let Some(topic) = self.by_name.get_mut(name) {
            *topic.subscribers.entry(program).or_default() += 1;
        }
    }

    /// Removes one subscription of a program. Returns the topic if no program needs it any more.
    pub(crate) fn unsubscribe(&mut self, name: &str, program: ProgramId) -> Option<TopicNumber> {
        let topic = self.by_name.get_mut(name)?;
        if let Some(count) = topic.subscribers.get_mut(&program) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                topic.subscribers.remove(&program);
            }
        }
        self.remove_unused(name)
    }

    /// A program left. Returns the topics that no program needs any more.
    pub(crate) fn leave(&mut self, program: ProgramId) -> Vec<TopicNumber> {
        for topic in self.by_name.values_mut() {
            topic.subscribers.remove(&program);
            topic.waiters.retain(|waiter| waiter.program != program);
        }
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        let unused = names.iter().filter_map(|name| self.remove_unused(name));
        unused.collect()
    }

    /// No events of a topic arrive until it is active again.
    pub(crate) fn interrupt(&mut self, number: TopicNumber) {
        if let Some((_, topic)) = self.find(number) {
            topic.is_active = false;
        }
    }

    /// A topic is active. Returns its name, and the requests that wait for it.
    pub(crate) fn activate(&mut self, number: TopicNumber) -> Option<(String, VecDeque<Waiter>)> {
        let (name, topic) = self.find(number)?;
        topic.is_active = true;
        Some((name, std::mem::take(&mut topic.waiters)))
    }

    /// The name and the subscribers of a topic.
    pub(crate) fn with_number(&self, number: TopicNumber) -> Option<(String, Vec<ProgramId>)> {
        let mut topics = self.by_name.iter();
        let (name, topic) = topics.find(|(_, topic)| topic.number == number)?;
        Some((name.clone(), topic.subscribers.keys().copied().collect()))
    }

    /// A topic ended. Returns its name, its subscribers, and the requests that wait for it.
    pub(crate) fn end(
        &mut self,
        number: TopicNumber,
    ) -> Option<(String, Vec<ProgramId>, VecDeque<Waiter>)> {
        let (name, _) = self.find(number)?;
        let topic = self.by_name.remove(&name)?;
        let subscribers = topic.subscribers.into_keys().collect();
        Some((name, subscribers, topic.waiters))
    }

    /// The programs that receive an event of a collection, each once.
    pub(crate) fn receivers(&self, collection: &str) -> Vec<ProgramId> {
        let mut receivers: Vec<ProgramId> = self
            .by_name
            .iter()
            .filter(|(name, _)| *name == ALL || is_of(name, collection))
            .flat_map(|(_, topic)| {
                let waiting = topic.waiters.iter().map(|waiter| waiter.program);
                topic.subscribers.keys().copied().chain(waiting)
            })
            .collect();
        receivers.sort_unstable();
        receivers.dedup();
        receivers
    }

    /// The names of active topics with their subscribers.
    pub(crate) fn active(&self) -> Vec<(String, Vec<ProgramId>)> {
        let active = self.by_name.iter().filter(|(_, topic)| topic.is_active);
        active
            .map(|(name, topic)| (name.clone(), topic.subscribers.keys().copied().collect()))
            .collect()
    }

    /// Removes the requests whose deadline has passed, and the topics that no program needs any more without them.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<Waiter>, Vec<TopicNumber>) {
        let mut expired = Vec::new();
        let mut unused = Vec::new();
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        for name in names {
            let Some(topic) = self.by_name.get_mut(&name) else {
                continue;
            };
            let waiters = std::mem::take(&mut topic.waiters);
            let (overdue, others) = waiters.into_iter().partition(|it| it.deadline <= now);
            topic.waiters = others;
            let overdue: VecDeque<Waiter> = overdue;
            expired.extend(overdue);
            unused.extend(self.remove_unused(&name));
        }
        (expired, unused)
    }

    /// Removes all requests that wait.
    pub(crate) fn take_waiters(&mut self) -> Vec<Waiter> {
        let topics = self.by_name.values_mut();
        topics
            .flat_map(|it| std::mem::take(&mut it.waiters))
            .collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let waiters = self.by_name.values().flat_map(|it| &it.waiters);
        waiters.map(|waiter| waiter.deadline).min()
    }

    fn find(&mut self, number: TopicNumber) -> Option<(String, &mut Topic)> {
        let mut topics = self.by_name.iter_mut();
        let (name, topic) = topics.find(|(_, topic)| topic.number == number)?;
        Some((name.clone(), topic))
    }

    fn remove_unused(&mut self, name: &str) -> Option<TopicNumber> {
        let topic = self.by_name.get(name)?;
        if !topic.subscribers.is_empty() || !topic.waiters.is_empty() {
            return None;
        }
        self.by_name.remove(name).map(|topic| topic.number)
    }
}

/// Whether the topic with this name has the events of a collection. A name may have an argument after a colon, which some
/// releases repeat in the collection and others omit.
fn is_of(name: &str, collection: &str) -> bool {
    let without_argument = name.split_once(':').map(|(name, _)| name);
    name == collection || without_argument == Some(collection)
}
