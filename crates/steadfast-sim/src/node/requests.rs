//! The queue of requests from the hubs to the thread of the engine.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_engine::Request;

use crate::context::Context;
use crate::event::node::ProcessEvent;
use crate::ids::ProcessId;

/// Requests for the engine's next loop iteration.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    process: ProcessId,
    /// Whether the engine is open: before that, no request is taken from the queue.
    pub(crate) is_open: bool,
    queue: VecDeque<Request>,
    is_iteration_scheduled: bool,
}

impl RequestQueue {
    pub(crate) const fn new(process: ProcessId) -> Self {
        Self {
            process,
            is_open: false,
            queue: VecDeque::new(),
            is_iteration_scheduled: false,
        }
    }

    pub(crate) fn push(&mut self, request: Request) {
        self.queue.push_back(request);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Schedules the next loop iteration if there are requests.
    pub(crate) fn schedule_iteration(&mut self, ctx: &mut Context) {
        if !self.is_open || self.queue.is_empty() || self.is_iteration_scheduled {
            return;
        }
        self.is_iteration_scheduled = true;
        let delay = ctx.between(Duration::from_micros(5), Duration::from_micros(300));
        ctx.schedule_process(
            ctx.now() + delay,
            self.process,
            ProcessEvent::EngineIteration,
        );
    }

    /// Takes all requests for a loop iteration.
    pub(crate) fn take(&mut self) -> VecDeque<Request> {
        self.is_iteration_scheduled = false;
        std::mem::take(&mut self.queue)
    }
}
