//! The thread that owns an engine without storage: the memory engine.
//!
//! The thread feeds a bounded number of requests to the engine in each turn, and delivers their results before the next
//! turn, so that no response waits for a long queue. Makes no decisions; see `steadfast_engine::memory`.

use std::io;

use steadfast_clock::Clock;
use steadfast_engine::Engine;
use steadfast_engine::io::{Event, Input, Output};
use steadfast_engine::order::Delivery;

use super::exchange::{CloseOutcome, Exchange};
use super::service::{self, EngineService, EngineSetup};
use super::shard_engine::ShardEngine;
use crate::config::keys;
use crate::diagnostics;

/// The maximum number of requests of one turn. Their results are about as many deliveries as are pushed to the ring
/// buffer at once, and a turn takes less than a millisecond.
const REQUESTS_PER_TURN_MAX: usize = 256;

/// Starts the thread of an engine, which accepts requests at once.
///
/// `machine` is a `MemoryEngine` created with `setup.clock`, or a wrapper around it. The shards' ends are in order of
/// shards.
///
/// # Errors
///
/// When the operating system cannot provide a thread.
pub fn start<M>(setup: &EngineSetup, machine: M) -> io::Result<(EngineService, Vec<ShardEngine>)>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let (service, shards, mut exchange) = service::connect(setup);
    exchange.deliver(machine.health());
    let thread = EngineThread {
        machine,
        exchange,
        clock: setup.clock,
        phase: Phase::Running,
    };
    std::thread::Builder::new()
        .name("memory-engine".into())
        .spawn(move || thread.run())?;
    Ok((service, shards))
}

/// The state of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Closing,
    Closed,
}

/// The engine, and the end of its thread.
#[derive(Debug)]
struct EngineThread<M> {
    machine: M,
    exchange: Exchange,
    clock: Clock,
    phase: Phase,
}

impl<M> EngineThread<M>
where
    M: Engine<Input = Input, Output = Output>,
{
    /// Runs the engine until it is closed.
    fn run(mut self) {
        while self.phase != Phase::Closed {
            if !self.exchange.has_requests() {
                let deadline = self.machine.poll_timeout();
                self.exchange
                    .wait(deadline.map(|at| at.saturating_since(self.clock.now())));
            }
            self.turn();
        }
        self.exchange
            .finish(self.machine.health(), CloseOutcome::Clean);
    }

    /// Feeds the next requests to the engine, and whatever else is due, and delivers the results.
    fn turn(&mut self) {
        let requests = self.exchange.take_requests(REQUESTS_PER_TURN_MAX);
        if !requests.is_empty() {
            let at = Clock::wall();
            self.handle(Input::Requested { requests, at });
        }
        // The close follows the requests, so that requests made before the close are still completed.
        if self.phase == Phase::Running
            && self.exchange.is_close_requested()
            && !self.exchange.has_requests()
        {
            self.phase = Phase::Closing;
            self.handle(Input::CloseRequested);
        }
        if self
            .machine
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.clock.now())
        {
            self.handle(Input::Tick { at: Clock::wall() });
        }
        self.exchange.deliver(self.machine.health());
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.clock.now(), input);
        while let Some(output) = self.machine.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Commit(committed) => self.stage(Delivery::Committed(committed)),
            Output::Respond {
                request_id,
                response,
            } => self.stage(Delivery::Response {
                request_id,
                response,
            }),
            Output::Notify(event) => log_event(event),
            Output::Closed => self.phase = Phase::Closed,
        }
    }

    fn stage(&mut self, delivery: Delivery) {
        self.exchange.stage(delivery, self.machine.health());
    }
}

/// Writes one line for one event.
fn log_event(event: Event) {
    match event {
        Event::LimitReached { limit } => {
            let setting = keys::memory_limit(limit);
            tracing::warn!(?limit, %setting, "engine limit reached; requests are rejected");
        }
        Event::ChannelReplaced { limit } => {
            let setting = keys::memory_limit(limit);
            tracing::warn!(
                ?limit, %setting,
                "engine limit reached; new channels replace the oldest ones without publications"
            );
        }
        Event::ChannelsExpired { channels } => tracing::debug!(channels, "channels expired"),
        Event::WallClockJumped(jump) => diagnostics::log_wall_jump(jump),
    }
}
