//! A log that commits appends in batches and does nothing else: one segment, no channels, no recovery.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};

use bytes::{Bytes, BytesMut};
use steadfast_engine::{
    Append, ChannelEpoch, Committed, Engine, Health, Record, Rejection, Request, Response,
};
use steadfast_log::event::Event;
use steadfast_log::io::{
    FailedOperation, Input, Output, SegmentFound, SegmentNumber, StorageError,
};
use steadfast_log::open::OpenReport;
use steadfast_machine::{Instant, Machine, Timestamp};

const EPOCH: ChannelEpoch = ChannelEpoch::new(1, 0);
const SEGMENT: SegmentNumber = SegmentNumber(1);

/// The state machine, with options to observe it or to make it fail.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a test selects each of them independently"
)]
pub(crate) struct StubLog {
    outputs: VecDeque<Output>,
    batch: Vec<Append>,
    written: u64,
    offset: u64,
    batches: Option<Sender<usize>>,
    found: Option<Sender<Vec<SegmentFound>>>,
    gate: Option<Receiver<()>>,
    panics: bool,
    ends_unclean: bool,
    has_failed: bool,
    is_closing: bool,
}

impl StubLog {
    pub(crate) const SEGMENT_BYTES: u64 = 3 << 20;

    /// Reports the number of appends of each batch.
    pub(crate) fn reporting_batches(self, batches: Sender<usize>) -> Self {
        Self {
            batches: Some(batches),
            ..self
        }
    }

    /// Reports the segments that were found.
    pub(crate) fn reporting_found(self, found: Sender<Vec<SegmentFound>>) -> Self {
        Self {
            found: Some(found),
            ..self
        }
    }

    /// Blocks at each request until the sender of the gate is dropped.
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

    /// Fails to record its clean shutdown.
    pub(crate) fn ending_unclean(self) -> Self {
        Self {
            ends_unclean: true,
            ..self
        }
    }

    fn write(&mut self, requests: Vec<Request>) {
        assert!(!self.panics, "the test requested a panic");
        if let Some(gate) = &self.gate {
            gate.recv().expect_err("nothing is ever sent");
        }
        let mut bytes = BytesMut::new();
        for request in requests {
            let Request::Append(append) = request else {
                panic!("unexpected read request")
            };
            bytes.extend_from_slice(&append.data);
            self.batch.push(append);
        }
        if let Some(batches) = &self.batches {
            batches.send(self.batch.len()).expect("the test listens");
        }
        let bytes: Bytes = bytes.freeze();
        let at = self.written;
        self.written += u64::try_from(bytes.len()).expect("fits");
        self.outputs.push_back(Output::Write {
            segment: SEGMENT,
            at,
            bytes,
            sync: true,
        });
    }

    fn commit(&mut self, at: Timestamp) {
        for append in self.batch.drain(..) {
            self.offset += 1;
            let record = Record {
                offset: self.offset,
                data: append.data,
                kind: append.kind,
                retention: append.retention,
                publisher: append.publisher,
                at,
            };
            self.outputs.push_back(Output::Commit(Committed {
                channel: append.channel,
                epoch: EPOCH,
                previous: self.offset - 1,
                record,
            }));
            let response = Response::Appended {
                epoch: EPOCH,
                offset: self.offset,
                is_duplicate: false,
                creates_channel: false,
            };
            self.outputs.push_back(Output::Respond {
                request_id: append.request_id,
                response,
            });
        }
    }

    fn close_if_idle(&mut self) {
        if self.is_closing && self.batch.is_empty() {
            self.outputs.push_back(Output::Closed);
        }
    }

    fn reject(&mut self, error: StorageError) {
        self.has_failed = true;
        self.outputs.push_back(Output::Notify(Event::WriteFailed {
            segment: SEGMENT,
            error,
        }));
        for append in self.batch.drain(..) {
            let response = Response::Rejected(Rejection::WriteFailed);
            self.outputs.push_back(Output::Respond {
                request_id: append.request_id,
                response,
            });
        }
    }
}

impl Machine for StubLog {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, _now: Instant, input: Input) {
        match input {
            Input::Found { segments, .. } => {
                if let Some(found) = &self.found {
                    found.send(segments).expect("the test listens");
                }
                self.outputs.push_back(Output::Reserve {
                    segment: SEGMENT,
                    bytes: Self::SEGMENT_BYTES,
                    first: Bytes::new(),
                    last: Bytes::new(),
                });
            }
            Input::Reserved { .. } => self
                .outputs
                .push_back(Output::Opened(OpenReport::default())),
            Input::Requested { requests, .. } => self.write(requests),
            Input::Synced => {
                self.commit(Timestamp::default());
                self.close_if_idle();
            }
            Input::Failed {
                operation: FailedOperation::Write | FailedOperation::Sync,
                error,
            } => self.reject(error),
            Input::CloseRequested => {
                if self.ends_unclean {
                    self.outputs
                        .push_back(Output::Notify(Event::UncleanShutdown));
                }
                self.is_closing = true;
                self.close_if_idle();
            }
            other @ (Input::Written
            | Input::ForgetRequested { .. }
            | Input::ReadDone { .. }
            | Input::Failed { .. }
            | Input::Tick { .. }) => {
                panic!("unexpected input {other:?}")
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl Engine for StubLog {
    fn health(&self) -> Health {
        if self.has_failed {
            Health::WriteFailed
        } else {
            Health::Serving
        }
    }
}
