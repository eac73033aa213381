//! The memory engine, with options to observe it or to make it fail.

use std::sync::mpsc::{Receiver, Sender};

use steadfast_clock::Clock;
use steadfast_engine::io::{Input, Output};
use steadfast_engine::memory::{MemoryEngine, MemoryPolicy, MemorySettings};
use steadfast_engine::{Engine, Health};
use steadfast_machine::{Instant, Machine};

/// The engine with its options.
#[derive(Debug)]
pub(crate) struct StubEngine {
    engine: MemoryEngine,
    turns: Option<Sender<usize>>,
    ticks: Option<Sender<()>>,
    gate: Option<Receiver<()>>,
    panics: bool,
}

impl StubEngine {
    pub(crate) fn new(clock: Clock) -> Self {
        let policy = MemoryPolicy::new(MemorySettings::for_tests()).expect("valid settings");
        Self {
            engine: MemoryEngine::new(policy, 1, clock.now()),
            turns: None,
            ticks: None,
            gate: None,
            panics: false,
        }
    }

    /// Reports the number of requests of each turn.
    pub(crate) fn reporting_turns(self, turns: Sender<usize>) -> Self {
        Self {
            turns: Some(turns),
            ..self
        }
    }

    /// Has a deadline in the past until the first tick, and reports that tick.
    pub(crate) fn reporting_tick(self, ticks: Sender<()>) -> Self {
        Self {
            ticks: Some(ticks),
            ..self
        }
    }

    /// Blocks at each turn until the gate receives a message or its sender is dropped.
    pub(crate) fn blocking(self, gate: Receiver<()>) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    /// Panics at the first request.
    pub(crate) fn panicking(self) -> Self {
        Self {
            panics: true,
            ..self
        }
    }
}

impl Machine for StubEngine {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match &input {
            Input::Requested { requests, .. } => {
                assert!(!self.panics, "the test requested a panic");
                // An error means that the gate is open.
                let _ = self.gate.as_ref().map(Receiver::recv);
                if let Some(turns) = &self.turns {
                    turns.send(requests.len()).expect("the test listens");
                }
            }
            Input::Tick { .. } => {
                if let Some(ticks) = self.ticks.take() {
                    ticks.send(()).expect("the test listens");
                }
            }
            Input::CloseRequested => {}
        }
        self.engine.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.engine.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.ticks {
            Some(_) => Some(Instant::START),
            None => self.engine.poll_timeout(),
        }
    }
}

impl Engine for StubEngine {
    fn health(&self) -> Health {
        self.engine.health()
    }
}
