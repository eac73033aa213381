//! Calls without a result. When the connection is lost, the effect depends on whether the call may have been executed.
//!
//! Not sent yet: it waits for the next connection. Sent and idempotent: it is sent again, unless it may be the reason for
//! the loss. Sent and not idempotent: it fails immediately and reports that it may have been executed, because its reply
//! can no longer arrive.
//!
//! A call that the peer rejected because it has too many was not executed: it is sent again, before the calls that were
//! made after it, as soon as the [`Window`] permits.

mod window;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::deadlines::Deadlines;
use crate::dialect::Call;
use crate::io::{CallError, CallId};
use window::Window;

/// A call and its state.
#[derive(Debug)]
struct PendingCall<C> {
    id: CallId,
    call: C,
    deadline: Instant,
    /// Its place among all calls, in the order in which they were made.
    number: u64,
    /// The peer rejected it, because it had too many calls.
    was_too_many: bool,
    /// The command that it was sent with on this connection.
    command: Option<u32>,
    /// The number of connections that were lost while it was in flight.
    losses: u8,
    /// How often the peer has rejected it without executing it.
    repetitions: u8,
}

/// A call that the peer has rejected as often without executing it fails.
const REPETITIONS_MAX: u8 = 3;

impl<C: Call> PendingCall<C> {
    /// Whether it may have been executed and changed something: it is in flight, or was when a connection was lost.
    fn may_have_effect(&self) -> bool {
        (self.command.is_some() || self.losses > 0) && self.call.has_effect()
    }

    /// What is reported at its deadline.
    fn timed_out<R>(&self) -> CallError<R> {
        let maybe_executed = self.may_have_effect();
        if self.was_too_many && self.command.is_none() && !maybe_executed {
            CallError::ServerBusy
        } else {
            CallError::TimedOut { maybe_executed }
        }
    }
}

/// All calls without a result.
#[derive(Debug)]
pub(crate) struct PendingCalls<C> {
    len_max: usize,
    window: Window,
    /// The number of the next call.
    next_number: u64,
    /// A call that was in flight in this number of losses fails.
    losses_max: u8,
    /// The oldest call first. Sent calls precede unsent ones, because a connection sends the oldest first.
    pending: VecDeque<PendingCall<C>>,
    /// The number of calls that were sent on this connection.
    sent: usize,
    /// The deadlines of all calls, by the numbers of their ids.
    deadlines: Deadlines,
}

impl<C: Call> PendingCalls<C> {
    pub(crate) const fn new(len_max: usize, in_flight_max: usize, losses_max: u8) -> Self {
        Self {
            len_max,
            window: Window::new(in_flight_max),
            next_number: 0,
            losses_max,
            pending: VecDeque::new(),
            sent: 0,
            deadlines: Deadlines::new(),
        }
    }

    /// Adds a call, or returns an error if too many are pending.
    pub(crate) fn enqueue<R>(
        &mut self,
        id: CallId,
        call: C,
        deadline: Instant,
    ) -> Result<(), CallError<R>> {
        if self.pending.len() >= self.len_max {
            return Err(CallError::Busy);
        }
        self.deadlines.insert(deadline, id.0);
        self.pending.push_back(PendingCall {
            id,
            call,
            deadline,
            number: self.next_number,
            was_too_many: false,
            command: None,
            losses: 0,
            repetitions: 0,
        });
        self.next_number = self.next_number.wrapping_add(1);
        Ok(())
    }

    /// The next call to send; it then counts as sent with this command. A call whose deadline has passed holds back the
    /// later ones until it is removed, which is due immediately.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&C> {
        if !self.window.has_space(now, self.sent) {
            return None;
        }
        let next = self.pending.get_mut(self.sent);
        let next = next.filter(|it| now < it.deadline)?;
        next.command = Some(command);
        self.sent += 1;
        Some(&next.call)
    }

    /// Removes a call that the application no longer waits for: an unsent call is not executed, and the reply of a sent
    /// one is ignored.
    pub(crate) fn withdraw(&mut self, id: CallId) {
        let index = self.pending.iter().position(|it| it.id == id);
        if let Some(index) = index {
            self.remove(index);
        }
    }

    /// The call of this command.
    pub(crate) fn get(&self, command: u32) -> Option<&C> {
        let pending = self.pending.get(self.index_of(command)?)?;
        Some(&pending.call)
    }

    /// Removes the call of this command, which has its reply.
    pub(crate) fn complete(&mut self, command: u32) -> Option<CallId> {
        let index = self.index_of(command)?;
        self.window.on_reply();
        self.remove(index).map(|pending| pending.id)
    }

    /// The peer has rejected the call of this command without executing it: it waits to be sent again, before newer ones.
    /// If that happened too often, it is removed, and has its outcome.
    pub(crate) fn send_again<R>(
        &mut self,
        command: u32,
        refusal: R,
    ) -> Option<(CallId, CallError<R>)> {
        let mut call = self.take_sent(command)?;
        call.repetitions = call.repetitions.saturating_add(1);
        if call.repetitions >= REPETITIONS_MAX {
            return Some(self.remove_unexecuted(&call, refusal));
        }
        self.requeue(call);
        None
    }

    /// The peer has rejected the call of this command without executing it, and it is not sent again. Returns its outcome.
    pub(crate) fn reject_unexecuted<R>(
        &mut self,
        command: u32,
        refusal: R,
    ) -> Option<(CallId, CallError<R>)> {
        let call = self.take_sent(command)?;
        Some(self.remove_unexecuted(&call, refusal))
    }

    /// The last rejection says nothing about a repetition before it, whose reply was lost.
    fn remove_unexecuted<R>(
        &mut self,
        call: &PendingCall<C>,
        refusal: R,
    ) -> (CallId, CallError<R>) {
        self.deadlines.remove(call.deadline, call.id.0);
        let maybe_executed = call.may_have_effect();
        let error = if maybe_executed {
            CallError::Interrupted { maybe_executed }
        } else {
            CallError::Rejected(refusal)
        };
        (call.id, error)
    }

    /// The peer did not execute the call of this command, because it has too many. The call waits to be sent again.
    pub(crate) fn on_too_many(
        &mut self,
        now: Instant,
        command: u32,
        add_jitter: impl FnOnce(Duration) -> Duration,
    ) {
        let in_flight = self.sent;
        if let Some(mut call) = self.take_sent(command) {
            self.window.on_rejected(now, in_flight, add_jitter);
            call.was_too_many = true;
            self.requeue(call);
        }
    }

    /// Removes the call of this command, which the peer did not execute.
    fn take_sent(&mut self, command: u32) -> Option<PendingCall<C>> {
        let index = self.index_of(command)?;
        let mut call = self.pending.remove(index)?;
        self.sent -= 1;
        call.command = None;
        Some(call)
    }

    /// Puts a call in its place among the calls that were not sent.
    fn requeue(&mut self, call: PendingCall<C>) {
        let earlier = |it: &&PendingCall<C>| it.number < call.number;
        let unsent = self.pending.iter().skip(self.sent);
        let place = self.sent + unsent.take_while(earlier).count();
        self.pending.insert(place, call);
    }

    fn index_of(&self, command: u32) -> Option<usize> {
        let oldest = self.pending.front()?.command?;
        // The id of a command follows that of the one before it, and the largest id is followed by the smallest one: the
        // distances from the oldest command are in order.
        let distance = |command: u32| command.wrapping_sub(oldest);
        let has_command = |index: &usize| {
            let found = self.pending.get(*index);
            found.is_some_and(|it| it.command == Some(command))
        };
        // The place of the call unless one before it was removed.
        let place = convert::to_usize(distance(command));
        if has_command(&place) {
            return Some(place);
        }
        let is_older = |it: &PendingCall<C>| {
            let other = it.command.map(distance);
            other.is_some_and(|other| other < distance(command))
        };
        let index = self.pending.partition_point(is_older);
        Some(index).filter(has_command)
    }

    fn remove(&mut self, index: usize) -> Option<PendingCall<C>> {
        let pending = self.pending.remove(index)?;
        self.sent -= usize::from(pending.command.is_some());
        self.deadlines.remove(pending.deadline, pending.id.0);
        Some(pending)
    }

    /// The connection is lost: sent calls fail if they are not idempotent, or may be the reason.
    pub(crate) fn on_connection_lost<R>(
        &mut self,
        is_caused_by_call: bool,
    ) -> Vec<(CallId, CallError<R>)> {
        let mut failed = Vec::new();
        self.sent = 0;
        self.window.on_connection_lost();
        self.pending.retain_mut(|it| {
            let was_in_flight = it.command.take().is_some();
            it.losses = it.losses.saturating_add(u8::from(was_in_flight));
            let is_suspect = is_caused_by_call || it.losses >= self.losses_max;
            let is_lost = was_in_flight && (is_suspect || !it.call.is_idempotent());
            if is_lost {
                self.deadlines.remove(it.deadline, it.id.0);
                let maybe_executed = true;
                failed.push((it.id, CallError::Interrupted { maybe_executed }));
            }
            !is_lost
        });
        // A call that was sent for the second time had followed later ones.
        let calls = self.pending.make_contiguous();
        calls.sort_by_key(|it| it.number);
        failed
    }

    /// Removes the calls whose deadline has passed.
    pub(crate) fn expire<R>(&mut self, now: Instant) -> Vec<(CallId, CallError<R>)> {
        let mut failed = Vec::new();
        self.window.tick(now);
        if !self.deadlines.has_passed(now) {
            return failed;
        }
        self.pending.retain(|it| {
            let is_expired = now >= it.deadline;
            if is_expired {
                self.sent -= usize::from(it.command.is_some());
                self.deadlines.remove(it.deadline, it.id.0);
                failed.push((it.id, it.timed_out()));
            }
            !is_expired
        });
        failed
    }

    /// Removes all calls, because the session ends or has failed.
    pub(crate) fn close<R: Clone>(&mut self, reason: &CallError<R>) -> Vec<(CallId, CallError<R>)> {
        let ended = |it: PendingCall<C>| {
            let error = if it.may_have_effect() {
                CallError::Interrupted {
                    maybe_executed: true,
                }
            } else {
                reason.clone()
            };
            (it.id, error)
        };
        self.sent = 0;
        self.deadlines.clear();
        self.pending.drain(..).map(ended).collect()
    }

    /// Whether a call was sent on this connection and has no result.
    pub(crate) fn has_in_flight(&self) -> bool {
        self.pending.front().is_some_and(|it| it.command.is_some())
    }

    /// Whether the loss of the connection would end a call that is in flight, because it must not be sent again.
    pub(crate) fn has_unrepeatable_in_flight(&self) -> bool {
        self.has_unrepeatable_in_flight_except(None)
    }

    /// As [`Self::has_unrepeatable_in_flight`], without the call of this command.
    pub(crate) fn has_unrepeatable_in_flight_except(&self, command: Option<u32>) -> bool {
        let in_flight = self.pending.iter().take(self.sent);
        let mut others = in_flight.filter(|it| it.command != command);
        let losses_max = self.losses_max;
        others.any(|it| !it.call.is_idempotent() || it.losses.saturating_add(1) >= losses_max)
    }

    /// The earliest deadline, or the end of a pause.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.deadlines.first().into_iter();
        deadlines.chain(self.window.deadline()).min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::centrifuge::Call;

    const CALLS_MAX: usize = 8;

    /// One step of a run; a number selects a call.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Enqueue { is_idempotent: bool },
        Send,
        Complete,
        SendAgain,
        RejectAsTooMany,
        Withdraw,
        LoseConnection,
        Expire,
    }

    impl PendingCalls<Call> {
        fn apply(&mut self, step: Step, pick: u64, command: &mut u32) {
            let now = Instant::from_nanos(pick % 30);
            let index = usize::try_from(pick).unwrap() % CALLS_MAX;
            match step {
                Step::Enqueue { is_idempotent } => {
                    let deadline = Instant::from_nanos(pick % 50);
                    let _ = self.enqueue::<()>(CallId(pick), call(is_idempotent), deadline);
                }
                Step::Send => {
                    // A call whose deadline has passed is not sent.
                    if self.send_next(Instant::START, *command).is_some() {
                        *command = command.checked_add(1).unwrap_or(1);
                    }
                }
                Step::Complete => {
                    let sent = self
                        .pending
                        .get(index)
                        .and_then(|it| Some((it.id, it.command?)));
                    if let Some((id, command)) = sent {
                        assert_eq!(self.complete(command), Some(id));
                        assert_eq!(self.complete(command), None);
                    }
                }
                Step::SendAgain => {
                    let sent = self.pending.get(index).and_then(|it| it.command);
                    if let Some(command) = sent {
                        self.send_again(command, ());
                        assert_eq!(self.get(command), None);
                    }
                }
                Step::RejectAsTooMany => {
                    let command = self.pending.get(index).and_then(|it| it.command);
                    let before = self.pending.len();
                    self.on_too_many(now, command.unwrap_or(0), |pause| pause);
                    assert_eq!(self.pending.len(), before);
                    assert!(command.is_none_or(|command| self.get(command).is_none()));
                }
                Step::Withdraw => {
                    if let Some(id) = self.pending.get(index).map(|it| it.id) {
                        self.withdraw(id);
                    }
                }
                Step::LoseConnection => {
                    self.on_connection_lost::<()>(pick.is_multiple_of(2));
                }
                Step::Expire => {
                    self.expire::<()>(now);
                    assert!(self.deadline().is_none_or(|at| at > now), "still due");
                }
            }
        }
    }

    fn call(is_idempotent: bool) -> Call {
        if is_idempotent {
            Call::Presence {
                channel: "c".to_owned(),
            }
        } else {
            Call::Rpc {
                method: "m".to_owned(),
                data: Bytes::from_static(b"1"),
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(|is_idempotent| Step::Enqueue { is_idempotent }),
            4 => Just(Step::Send),
            2 => Just(Step::Complete),
            1 => Just(Step::SendAgain),
            1 => Just(Step::RejectAsTooMany),
            1 => Just(Step::Withdraw),
            1 => Just(Step::LoseConnection),
            1 => Just(Step::Expire),
        ]
    }

    #[test]
    fn a_call_in_flight_can_be_repeated_unless_the_next_loss_ends_it() {
        let mut calls = PendingCalls::new(CALLS_MAX, 3, 2);
        let is_unrepeatable_in_flight = |calls: &mut PendingCalls<Call>, is_idempotent, number| {
            let deadline = Instant::from_nanos(9);
            let queued = calls.enqueue::<()>(CallId(number), call(is_idempotent), deadline);
            assert_eq!(queued, Ok(()));
            assert!(calls.send_next(Instant::START, 1).is_some());
            calls.has_unrepeatable_in_flight()
        };
        assert!(!is_unrepeatable_in_flight(&mut calls, true, 1));
        calls.on_connection_lost::<()>(false);
        assert!(!calls.has_unrepeatable_in_flight(), "it is not in flight");
        assert!(calls.send_next(Instant::START, 2).is_some());
        assert!(
            calls.has_unrepeatable_in_flight(),
            "the second loss ends it"
        );
        calls.complete(2);

        assert!(is_unrepeatable_in_flight(&mut calls, false, 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn each_call_is_found_by_its_command_and_the_earliest_deadline_is_known(
            steps in proptest::collection::vec((step(), any::<u64>()), 1..100),
        ) {
            let mut calls = PendingCalls::new(CALLS_MAX, 3, 2);
            // The ids of commands start again during the run.
            let mut command = u32::MAX - 5;
            for (step, pick) in steps {
                calls.apply(step, pick, &mut command);

                let deadlines = calls.pending.iter().map(|it| (it.deadline, it.id.0));
                let mut deadlines: Vec<_> = deadlines.collect();
                deadlines.sort_unstable();
                prop_assert_eq!(calls.deadlines.all(), deadlines);
                let are_sent: Vec<_> = calls.pending.iter().map(|it| it.command.is_some()).collect();
                prop_assert!(are_sent.is_sorted_by(|one, next| one >= next), "{:?}", are_sent);
                prop_assert_eq!(calls.sent, are_sent.iter().filter(|it| **it).count());
                let unsent = calls.pending.iter().skip(calls.sent).map(|it| it.number);
                prop_assert!(unsent.is_sorted(), "calls overtake each other");
            }

            calls.close(&CallError::<()>::Closed);
            calls.expire::<()>(Instant::from_nanos(u64::MAX));
            prop_assert_eq!(calls.deadline(), None);
        }
    }
}
