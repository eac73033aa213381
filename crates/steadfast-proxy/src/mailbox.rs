//! How a connection notices that something changed: one flag and one waker, so that no call ever waits for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use steadfast_faults::toxic::CloseMode;

use crate::locks::lock;

/// What was requested of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To end in this way.
    Close(CloseMode),
    /// To end, because the proxy stops.
    Stop,
}

/// The mailbox of a connection: the newest request, and a notice that the toxics changed.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    request: AtomicU8,
    has_news: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Mailbox {
    /// The toxics of the proxy changed.
    pub(crate) fn notify(&self) {
        self.has_news.store(true, Ordering::Release);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The connection is to end; replaces an earlier request.
    pub(crate) fn request(&self, request: Request) {
        let number = match request {
            Request::Close(CloseMode::Fin) => 1,
            Request::Close(CloseMode::Rst) => 2,
            Request::Close(CloseMode::Silent) => 3,
            Request::Stop => 4,
        };
        self.request.store(number, Ordering::Release);
        self.notify();
    }

    /// Whether something changed since the last call; otherwise the task is woken by the next change.
    pub(crate) fn poll_news(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_news.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut waker = lock(&self.waker);
        if waker
            .as_ref()
            .is_none_or(|known| !known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // A change between the check and the registration has found no waker.
        if self.has_news.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Takes the newest request.
    pub(crate) fn take_request(&self) -> Option<Request> {
        match self.request.swap(0, Ordering::AcqRel) {
            1 => Some(Request::Close(CloseMode::Fin)),
            2 => Some(Request::Close(CloseMode::Rst)),
            3 => Some(Request::Close(CloseMode::Silent)),
            4 => Some(Request::Stop),
            _ => None,
        }
    }
}
