//! Tests of the exchange with a driver that is a loop of the test.

use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::task::{Poll, Wake};
use std::time::Duration;

use bytes::Bytes;
use steadfast_clock::Clock;
use steadfast_core::dialect::centrifuge::{Call, CallError, Centrifuge, Publish, SendError};
use steadfast_core::io::MessageId;

use super::calls::PendingCall;
use super::*;
use crate::defaults;

type Handle = ExchangeHandle<Centrifuge>;

/// A task that counts how often it is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    fn take_count(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Far more than any of these tests makes.
const CALLS_MAX: usize = 1_000;

fn handle(messages_max: usize) -> Handle {
    Handle::new(&defaults::OUTBOX.messages_max(messages_max), CALLS_MAX)
}

fn call(handle: &Handle) -> PendingCall<&Exchange<Centrifuge>, Centrifuge> {
    let call = Call::Presence {
        channel: "c".to_owned(),
    };
    handle.call(call, Duration::from_mins(1), Clock::start())
}

fn publish() -> Publish {
    Publish::new("c".into(), Bytes::from_static(b"1"), "key".to_owned())
}

fn poll<F: Future>(future: Pin<&mut F>, task: &Arc<Task>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&task.waker()))
}

/// Receives a batch, and returns the ids of its calls.
fn receive(
    handle: &Handle,
    received: &mut Received<Centrifuge>,
    driver: &Arc<Task>,
) -> Vec<CallId> {
    handle.receive(received, 2, &Context::from_waker(&driver.waker()));
    let mut calls = Vec::new();
    for command in received.commands.drain(..) {
        if let Command::Call(id, ..) = command {
            calls.push(id);
        }
    }
    calls
}

#[tokio::test]
async fn a_call_that_is_given_up_in_the_queue_is_never_received() {
    let (handle, task) = (handle(1), Arc::default());
    let mut received = Received::default();
    let mut kept = [call(&handle), call(&handle), call(&handle)];
    let mut given_up = Box::pin(call(&handle));
    for it in &mut kept {
        assert!(poll(Pin::new(it), &task).is_pending());
    }
    assert!(poll(given_up.as_mut(), &task).is_pending());

    let first = receive(&handle, &mut received, &task);
    drop(given_up);
    let second = receive(&handle, &mut received, &task);
    let third = receive(&handle, &mut received, &task);

    assert_eq!((first.len(), second.len(), third.len()), (2, 1, 0));
    assert!(received.withdrawn.is_empty());
    assert_eq!(handle.lock().withdrawn.len(), 0);
}

#[tokio::test]
async fn a_call_that_is_given_up_after_it_was_received_is_reported_once_and_wakes_the_driver() {
    let (handle, task, driver) = (handle(1), Arc::default(), Arc::<Task>::default());
    let mut received = Received::default();
    let mut given_up = Box::pin(call(&handle));
    assert!(poll(given_up.as_mut(), &task).is_pending());
    let calls = receive(&handle, &mut received, &driver);
    receive(&handle, &mut received, &driver);

    drop(given_up);

    assert_eq!(driver.take_count(), 1);
    receive(&handle, &mut received, &driver);
    assert_eq!(received.withdrawn, calls);
    received.withdrawn.clear();
    // Its outcome, which was already sent, is for no other caller.
    let mut next = Box::pin(call(&handle));
    assert!(poll(next.as_mut(), &task).is_pending());
    complete(&handle, calls.iter().copied());
    assert!(poll(next.as_mut(), &task).is_pending());
}

fn complete(handle: &Handle, calls: impl Iterator<Item = CallId>) {
    let mut outcomes = Outcomes::default();
    for id in calls {
        outcomes.push(Completion::Call(id, Err(CallError::Busy)));
    }
    outcomes.publish(handle);
}

#[tokio::test]
async fn many_commands_wake_the_driver_once_and_many_outcomes_each_caller_once() {
    let (handle, driver) = (handle(1), Arc::<Task>::default());
    let mut received = Received::default();
    let tasks: Vec<Arc<Task>> = (0..100).map(|_| Arc::default()).collect();
    let mut calls: Vec<_> = tasks.iter().map(|_| call(&handle)).collect();
    receive(&handle, &mut received, &driver);

    for (call, task) in calls.iter_mut().zip(&tasks) {
        assert!(poll(Pin::new(call), task).is_pending());
    }
    assert_eq!(driver.take_count(), 1);
    let mut ids = Vec::new();
    while ids.len() < tasks.len() {
        ids.extend(receive(&handle, &mut received, &driver));
    }
    assert!(tasks.iter().all(|it| it.take_count() == 0));

    complete(&handle, ids.into_iter());

    for (call, task) in calls.iter_mut().zip(&tasks) {
        assert_eq!(task.take_count(), 1);
        assert_eq!(
            poll(Pin::new(call), task),
            Poll::Ready(Some(Err(CallError::Busy)))
        );
    }
}

/// Their places are free at once, and the driver has not received them.
#[tokio::test]
async fn calls_that_are_given_up_in_the_queue_neither_keep_their_places_nor_let_it_grow() {
    let handle = Handle::new(&defaults::OUTBOX.messages_max(1), 1);
    let task = Arc::default();
    let queue_max = handle.commands_max + handle.places_max;

    for _ in 0..3 * queue_max {
        let mut given_up = call(&handle);
        assert!(poll(Pin::new(&mut given_up), &task).is_pending());
    }
    let mut kept = call(&handle);
    assert!(poll(Pin::new(&mut kept), &task).is_pending());

    assert!(handle.lock().commands.len() <= queue_max);
    let busy = poll(Pin::new(&mut call(&handle)), &task);
    assert_eq!(busy, Poll::Ready(Some(Err(CallError::Busy))));
}

#[test]
fn the_last_handle_that_is_dropped_wakes_the_driver_which_first_receives_what_is_queued() {
    let (handle, driver) = (handle(1), Arc::<Task>::default());
    let exchange = Arc::clone(handle.exchange());
    let waker = driver.waker();
    let context = Context::from_waker(&waker);
    let mut received = Received::default();
    let other = handle.clone();
    handle.send(Command::Restart).unwrap();
    assert!(exchange.receive(&mut received, 2, &context));
    received.commands.clear();
    assert!(!exchange.receive(&mut received, 2, &context));

    drop(handle);
    assert_eq!(driver.take_count(), 0);
    drop(other);

    assert_eq!(driver.take_count(), 1);
    exchange.receive(&mut received, 2, &context);
    assert!(received.is_orphaned);

    let last = self::handle(1);
    let exchange = Arc::clone(last.exchange());
    last.send(Command::Restart).unwrap();
    drop(last);
    assert!(exchange.receive(&mut received, 2, &context));
    assert!(!received.is_orphaned);
}

#[test]
fn a_message_with_a_place_needs_no_space_in_the_command_queue() {
    let handle = handle(1);
    while handle.send(Command::Restart).is_ok() {}

    let instead = handle.queue_message_instead_of_others(publish(), None);
    let with_place = handle.try_queue_message(publish(), None);
    let without_place = handle.try_queue_message(publish(), None);

    assert_eq!(handle.lock().commands.len(), COMMANDS_MAX + 2);
    assert!(matches!(instead, Err(RequestError::Busy)));
    assert!(with_place.is_ok());
    assert!(matches!(without_place, Err(RequestError::OutboxFull)));
}

#[tokio::test]
async fn the_end_ends_all_waits() {
    let (handle, task) = (handle(1), Arc::<Task>::default());
    let mut calling = pin!(call(&handle));
    let queued = handle.try_queue_message(publish(), None).unwrap();
    let mut waiting = pin!(handle.queue_message(publish(), None));
    let waker = task.waker();
    let context = Context::from_waker(&waker);
    assert!(poll(calling.as_mut(), &task).is_pending());
    assert!(poll(waiting.as_mut(), &task).is_pending());
    assert!(handle.poll_message(queued, &context).is_pending());

    handle.end();

    assert_eq!(task.take_count(), 3);
    assert_eq!(
        poll(calling, &task),
        Poll::Ready(Some(Err(CallError::Closed)))
    );
    let outcome = handle.poll_message(queued, &context);
    assert_eq!(outcome, Poll::Ready(Err(SendError::Interrupted)));
    let waited = poll(waiting, &task);
    assert!(matches!(waited, Poll::Ready(Err(RequestError::Closed))));
}

#[test]
fn an_idle_driver_has_no_buffers_and_none_keeps_large_ones() {
    let (handle, driver) = (handle(1), Arc::<Task>::default());
    let waker = driver.waker();
    let context = Context::from_waker(&waker);
    for commands in [1, 1_000] {
        let (mut received, mut outcomes) = (Received::default(), Outcomes::default());
        for number in 0..commands {
            handle.send(Command::Restart).unwrap();
            let id = MessageId(number);
            outcomes.push(Completion::Message(id, Err(SendError::Closed)));
        }
        handle.receive(&mut received, usize::MAX, &context);
        received.commands.clear();
        handle.receive(&mut received, usize::MAX, &context);
        outcomes.publish(&handle);

        assert_eq!(received.commands.capacity(), 0);
        assert_eq!(handle.lock().commands.capacity(), 0);
        assert_eq!(outcomes.collected.capacity(), 0);
    }
}

#[tokio::test]
async fn a_batch_of_calls_that_were_given_up_is_not_taken_for_an_empty_queue() {
    let (handle, task, driver) = (handle(1), Arc::default(), Arc::<Task>::default());
    let mut received = Received::default();
    let mut given_up = [call(&handle), call(&handle)];
    for it in &mut given_up {
        assert!(poll(Pin::new(it), &task).is_pending());
    }
    drop(given_up);
    handle.send(Command::Restart).unwrap();

    let is_busy = handle.receive(&mut received, 2, &Context::from_waker(&driver.waker()));

    assert!(
        is_busy,
        "a command is queued, and nothing will wake the driver"
    );
}

/// A waker whose drop uses the exchange.
struct Dropping(Handle);

impl Wake for Dropping {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Dropping {
    fn drop(&mut self) {
        let inner = self.0.inner.try_lock();
        assert!(inner.is_ok(), "a task is dropped under the lock");
    }
}

fn dropping(handle: &Handle) -> Waker {
    Waker::from(Arc::new(Dropping(handle.clone())))
}

#[test]
fn the_task_of_a_driver_that_moved_is_dropped_outside_of_the_lock() {
    let handle = handle(1);
    let mut received = Received::default();
    for _ in 0..2 {
        let waker = dropping(&handle);
        handle.receive(&mut received, 2, &Context::from_waker(&waker));
    }
}

#[test]
fn the_task_of_a_receipt_that_moved_is_dropped_outside_of_the_lock() {
    let handle = handle(1);
    let queued = handle.try_queue_message(publish(), None).unwrap();
    for _ in 0..2 {
        let waker = dropping(&handle);
        let polled = handle.poll_message(queued, &Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
}

#[test]
fn the_task_of_a_dropped_receipt_is_dropped_outside_of_the_lock() {
    let handle = handle(1);
    let queued = handle.try_queue_message(publish(), None).unwrap();
    let waker = dropping(&handle);
    assert!(
        handle
            .poll_message(queued, &Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    handle.forget_message(queued);
}

#[test]
fn the_task_of_a_message_that_no_longer_waits_is_dropped_outside_of_the_lock() {
    let handle = handle(1);
    let _queued = handle.try_queue_message(publish(), None).unwrap();
    let mut waiting = Box::pin(handle.queue_message(publish(), None));
    let waker = dropping(&handle);
    assert!(
        waiting
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    drop(waiting);
}

struct Owner(Handle);
impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        b"1"
    }
}
impl Drop for Owner {
    fn drop(&mut self) {
        assert!(
            self.0.inner.try_lock().is_ok(),
            "a payload is dropped under the lock"
        );
    }
}

#[tokio::test]
async fn the_payload_of_a_call_that_was_given_up_is_dropped_outside_of_the_lock() {
    let (handle, task, driver) = (handle(1), Arc::default(), Arc::<Task>::default());
    let mut received = Received::default();
    let data = Bytes::from_owner(Owner(handle.clone()));
    let rpc = Call::Rpc {
        method: "m".to_owned(),
        data,
    };
    let mut given_up = Box::pin(handle.call(rpc, Duration::from_mins(1), Clock::start()));
    assert!(poll(given_up.as_mut(), &task).is_pending());
    drop(given_up);
    receive(&handle, &mut received, &driver);
}

#[tokio::test]
async fn calls_that_were_given_up_together_leave_no_large_buffer() {
    let (handle, task, driver) = (handle(1), Arc::default(), Arc::<Task>::default());
    let waker = driver.waker();
    let context = Context::from_waker(&waker);
    let mut received = Received::default();
    let mut calls: Vec<_> = (0..1_000).map(|_| call(&handle)).collect();
    for it in &mut calls {
        assert!(poll(Pin::new(it), &task).is_pending());
    }
    handle.receive(&mut received, usize::MAX, &context);
    received.commands.clear();
    drop(calls);

    for _ in 0..2 {
        handle.receive(&mut received, usize::MAX, &context);
        received.withdrawn.clear();
    }

    assert_eq!(received.withdrawn.capacity(), 0);
    assert_eq!(handle.lock().withdrawn.capacity(), 0);
}
