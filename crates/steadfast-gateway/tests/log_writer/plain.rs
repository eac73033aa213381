//! A machine that takes appends in groups and promises nothing else: one segment, no channels, no recovery.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};

use bytes::{Bytes, BytesMut};
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{
    Append, Committed, FailedOperation, Input, Output, Record, Rejection, Request, Response,
    SegmentFound, SegmentNumber, StorageError, Timer,
};
use steadfast_hub::log::open::OpenReport;
use steadfast_machine::{Instant, Machine, Timestamp};

const EPOCH: ChannelEpoch = ChannelEpoch {
    incarnation: 1,
    counter: 0,
};
const SEGMENT: SegmentNumber = SegmentNumber(1);

/// The machine, with what a test wants to watch or to break.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    outputs: VecDeque<Output>,
    group: Vec<Append>,
    written: u64,
    offset: u64,
    groups: Option<Sender<usize>>,
    found: Option<Sender<Vec<SegmentFound>>>,
    gate: Option<Receiver<()>>,
    panics: bool,
    ends_unclean: bool,
}

impl Plain {
    pub(crate) const SEGMENT_BYTES: u64 = 3 << 20;

    /// Tells how many appends each group has.
    pub(crate) fn telling(self, groups: Sender<usize>) -> Self {
        Self {
            groups: Some(groups),
            ..self
        }
    }

    /// Tells which segments were found.
    pub(crate) fn telling_found(self, found: Sender<Vec<SegmentFound>>) -> Self {
        Self {
            found: Some(found),
            ..self
        }
    }

    /// Stands still at each request until the other end of the gate is dropped.
    pub(crate) fn waiting(self, gate: Receiver<()>) -> Self {
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

    /// Cannot write its clean end.
    pub(crate) fn ending_unclean(self) -> Self {
        Self {
            ends_unclean: true,
            ..self
        }
    }

    fn write(&mut self, batch: Vec<Request>) {
        assert!(!self.panics, "as the test asked");
        if let Some(gate) = &self.gate {
            gate.recv().expect_err("nothing is ever sent");
        }
        let mut bytes = BytesMut::new();
        for request in batch {
            let Request::Append(append) = request else {
                panic!("no test reads")
            };
            bytes.extend_from_slice(&append.data);
            self.group.push(append);
        }
        if let Some(groups) = &self.groups {
            groups.send(self.group.len()).expect("the test listens");
        }
        let bytes: Bytes = bytes.freeze();
        let at = self.written;
        self.written += u64::try_from(bytes.len()).expect("fits");
        self.outputs.push_back(Output::Write {
            segment: SEGMENT,
            at,
            bytes,
        });
    }

    fn commit(&mut self, at: Timestamp) {
        for append in self.group.drain(..) {
            self.offset += 1;
            let record = Record {
                offset: self.offset,
                data: append.data,
                publisher: append.publisher,
                at,
            };
            self.outputs.push_back(Output::Commit(Committed {
                channel: append.channel,
                epoch: EPOCH,
                record,
            }));
            let answer = Response::Appended {
                epoch: EPOCH,
                offset: self.offset,
                is_duplicate: false,
            };
            self.outputs.push_back(Output::Respond {
                request_id: append.request_id,
                response: answer,
            });
        }
    }

    fn refuse(&mut self, fault: StorageError) {
        self.outputs.push_back(Output::Notify(Event::WriteFailed {
            segment: SEGMENT,
            error: fault,
        }));
        for append in self.group.drain(..) {
            let answer = Response::Rejected(Rejection::WriteFailed);
            self.outputs.push_back(Output::Respond {
                request_id: append.request_id,
                response: answer,
            });
        }
    }
}

impl Machine for Plain {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, _now: Instant, input: Input) {
        match input {
            Input::Found { segments, .. } => {
                if let Some(found) = &self.found {
                    found.send(segments).expect("the test listens");
                }
                self.outputs.push_back(Output::Reserve {
                    segment: SEGMENT,
                    bytes: Self::SEGMENT_BYTES,
                });
            }
            Input::Reserved { .. } => self
                .outputs
                .push_back(Output::Opened(OpenReport::default())),
            Input::Requested {
                requests: batch, ..
            } => self.write(batch),
            Input::Written => self.outputs.push_back(Output::Sync { segment: SEGMENT }),
            Input::Synced => self.commit(Timestamp::default()),
            Input::Failed {
                operation: FailedOperation::Write | FailedOperation::Sync,
                error: fault,
            } => self.refuse(fault),
            Input::CloseRequested { .. } => {
                if self.ends_unclean {
                    self.outputs
                        .push_back(Output::Notify(Event::UncleanShutdown));
                }
                self.outputs.push_back(Output::Closed);
            }
            other @ (Input::ReadDone { .. } | Input::Failed { .. } | Input::Tick { .. }) => {
                panic!("no test leads to {other:?}")
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }
}
