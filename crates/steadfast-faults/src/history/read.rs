//! From lines to an event log, or to an error that names the line.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::message::Position;
use thiserror::Error;

use super::{FORMAT, LINE_BYTES_MAX, write};
use crate::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, MessageId,
    ProcessEvent, ProcessExit, RequestOutcome, RunEvent, RunPhase, Subscribed,
};
use crate::ledger::event_log::EventLog;
use crate::scenario::plan::Plan;
use crate::topology::{ClientId, FaultId, InstanceId};

/// Why lines are not the history of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages describe the variants")]
pub enum HistoryError {
    #[error("line 1: this is not a history of the lab: it does not begin with `{FORMAT}`")]
    Foreign,
    #[error(
        "line {line}: the plan of this run differs from the one that its scenario and seed give now:\n  \
         stored {stored:?}\n  now    {now:?}"
    )]
    OtherPlan {
        line: u64,
        stored: String,
        now: String,
    },
    #[error("line {line}: invalid record {text:?}")]
    Invalid {
        line: u64,
        /// The start of the line.
        text: String,
    },
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong { line: u64 },
    #[error("line {line}: more than {records_max} records")]
    TooMany { line: u64, records_max: usize },
    #[error("line {line}: a record after the last line")]
    AfterEnd { line: u64 },
    #[error(
        "incomplete: it ends after line {line}, and the last line of a history begins with `end`"
    )]
    Incomplete { line: u64 },
    #[error("line {line}: the last line counts {counted} records, and there are {found}")]
    Miscounted {
        line: u64,
        counted: usize,
        found: usize,
    },
}

/// Reads a history line by line.
#[derive(Debug)]
pub struct HistoryReader {
    records_max: usize,
    log: EventLog,
    len: usize,
    /// The lines that the plan requires next.
    expected: VecDeque<String>,
    /// The number of the last line that was read.
    line: u64,
    has_ended: bool,
}

impl HistoryReader {
    /// Reads the history of an execution of `plan`, with at most `records_max` records.
    pub fn new(plan: &Plan, records_max: usize) -> Self {
        let faults = plan.faults().iter().map(write::planned);
        Self {
            records_max,
            log: EventLog::new(records_max),
            len: 0,
            expected: [write::first(plan)].into_iter().chain(faults).collect(),
            line: 0,
            has_ended: false,
        }
    }

    /// Reads one line, without its end.
    ///
    /// # Errors
    ///
    /// When the line does not belong to a history of the plan; the reader is then of no further use.
    pub fn read(&mut self, text: &str) -> Result<(), HistoryError> {
        self.line += 1;
        let line = self.line;
        if text.len() > LINE_BYTES_MAX {
            return Err(HistoryError::TooLong { line });
        }
        if line == 1 && text.split(' ').next() != Some(FORMAT) {
            return Err(HistoryError::Foreign);
        }
        if let Some(now) = self.expected.pop_front() {
            let stored = shortened(text);
            let is_same = text == now;
            let error = HistoryError::OtherPlan { line, stored, now };
            return if is_same { Ok(()) } else { Err(error) };
        }
        if self.has_ended {
            return Err(HistoryError::AfterEnd { line });
        }
        if let Some(counts) = text.strip_prefix("end ") {
            return self.end(counts);
        }
        if self.len == self.records_max {
            let records_max = self.records_max;
            return Err(HistoryError::TooMany { line, records_max });
        }
        let record = record(&mut Words(text)).ok_or_else(|| self.invalid(text))?;
        self.log.push(record);
        self.len += 1;
        Ok(())
    }

    /// The log, after the last line.
    ///
    /// # Errors
    ///
    /// When the last line is missing, for example because the lab was killed while it wrote the file.
    pub fn finish(self) -> Result<EventLog, HistoryError> {
        if self.has_ended {
            Ok(self.log)
        } else {
            Err(HistoryError::Incomplete { line: self.line })
        }
    }

    fn end(&mut self, counts: &str) -> Result<(), HistoryError> {
        let mut words = Words(counts);
        let both = words.number().zip(words.number());
        let (counted, dropped) = both
            .filter(|_| words.is_empty())
            .ok_or_else(|| self.invalid(counts))?;
        if counted != self.len {
            return Err(HistoryError::Miscounted {
                line: self.line,
                counted,
                found: self.len,
            });
        }
        self.log.note_dropped(dropped);
        self.has_ended = true;
        Ok(())
    }

    fn invalid(&self, text: &str) -> HistoryError {
        HistoryError::Invalid {
            line: self.line,
            text: shortened(text),
        }
    }
}

/// The start of a line, as much as an error message shows.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    text.chars().take(SHOWN_MAX).collect()
}

/// The rest of a line.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    /// A number after a letter, such as `c4`.
    fn id(&mut self, letter: char) -> Option<u32> {
        self.next()?.strip_prefix(letter)?.parse().ok()
    }

    fn nanos(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_nanos)
    }

    /// The rest of the line, a JSON string.
    fn quoted(&mut self) -> Option<String> {
        let text = serde_json::from_str(self.0).ok();
        self.0 = "";
        text
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn record(words: &mut Words<'_>) -> Option<EventRecord> {
    let at = Instant::START + words.nanos()?;
    let source = words.next()?;
    let event = match source {
        "run" => RunEvent::PhaseBegan(phase(words.next()?)?),
        "lab" => RunEvent::Harness(of_harness(words)?),
        "effects" => RunEvent::Effects(of_effects(words)?),
        _ => of_participant(&mut Words(source), words)?,
    };
    words.is_empty().then_some(EventRecord { at, event })
}

fn of_participant(source: &mut Words<'_>, words: &mut Words<'_>) -> Option<RunEvent> {
    match source.0.chars().next()? {
        'c' => Some(RunEvent::Client {
            client: ClientId(source.id('c')?),
            event: of_client(words)?,
        }),
        'f' => Some(RunEvent::Fault {
            fault: FaultId(source.id('f')?),
            event: of_fault(words)?,
        }),
        'i' => Some(RunEvent::Process {
            instance: InstanceId(source.id('i')?),
            event: of_process(words)?,
        }),
        _ => None,
    }
}

fn phase(name: &str) -> Option<RunPhase> {
    RunPhase::ALL.into_iter().find(|it| it.name() == name)
}

fn of_harness(words: &mut Words<'_>) -> Option<HarnessEvent> {
    match words.next()? {
        "lag" => Some(HarnessEvent::Lag {
            late: words.nanos()?,
        }),
        "failed" => Some(HarnessEvent::Failed(words.quoted()?)),
        _ => None,
    }
}

fn of_effects(words: &mut Words<'_>) -> Option<EffectEvent> {
    match words.next()? {
        "read" => Some(EffectEvent::Read {
            instance: InstanceId(words.id('i')?),
            lines: words.number()?,
            foreign: words.number()?,
            is_torn: choice(words, "torn", "whole")?,
        }),
        "executed" => Some(EffectEvent::Executed {
            request: MessageId {
                publisher: ClientId(words.id('c')?),
                sequence: words.number()?,
            },
            count: words.number()?,
        }),
        _ => None,
    }
}

fn of_client(words: &mut Words<'_>) -> Option<ClientEvent> {
    let event = match words.next()? {
        "opened" => ClientEvent::Opened,
        "attempting" => ClientEvent::Attempting,
        "transport-opened" => ClientEvent::TransportOpened,
        "attempt-failed" => ClientEvent::AttemptFailed,
        "connected" => ClientEvent::Connected,
        "lost" => ClientEvent::ConnectionLost(loss(words)?),
        "gave-up" if words.is_empty() => ClientEvent::GaveUp { code: None },
        "gave-up" => ClientEvent::GaveUp {
            code: Some(words.number()?),
        },
        "subscribed" => ClientEvent::Subscribed(subscribed(words)?),
        "published" => ClientEvent::Published {
            sequence: words.number()?,
        },
        "resent" => ClientEvent::Resent {
            sequence: words.number()?,
        },
        "acknowledged" => acknowledged(words, false)?,
        "acknowledged-again" => acknowledged(words, true)?,
        "rejected" => ClientEvent::Rejected {
            sequence: words.number()?,
            code: words.number()?,
        },
        "unsent" => ClientEvent::Unsent,
        "received" => ClientEvent::Received {
            stream: words.number()?,
            sequence: words.number()?,
        },
        "requested" => ClientEvent::Requested {
            sequence: words.number()?,
            intended: Instant::START + words.nanos()?,
        },
        "requested-again" => ClientEvent::RequestedAgain {
            sequence: words.number()?,
        },
        "settled" => ClientEvent::Settled {
            sequence: words.number()?,
            outcome: outcome(words)?,
        },
        "delivered" => ClientEvent::Delivered {
            offset: words.number()?,
            message: if words.is_empty() {
                None
            } else {
                Some(MessageId {
                    publisher: ClientId(words.id('c')?),
                    sequence: words.number()?,
                })
            },
        },
        _ => return None,
    };
    Some(event)
}

fn acknowledged(words: &mut Words<'_>, is_duplicate: bool) -> Option<ClientEvent> {
    let sequence = words.number()?;
    let position = if words.is_empty() {
        None
    } else {
        let offset = words.number()?;
        let epoch = words.quoted()?;
        Some(Position { epoch, offset })
    };
    Some(ClientEvent::Acknowledged {
        sequence,
        position,
        is_duplicate,
    })
}

fn subscribed(words: &mut Words<'_>) -> Option<Subscribed> {
    let offset = words.number()?;
    let was_recovering = choice(words, "recovering", "new")?;
    let recovered = choice(words, "recovered", "not-recovered")?;
    let epoch = words.quoted()?;
    Some(Subscribed {
        position: Position { epoch, offset },
        was_recovering,
        recovered,
    })
}

fn choice(words: &mut Words<'_>, yes: &str, no: &str) -> Option<bool> {
    let word = words.next()?;
    (word == yes || word == no).then_some(word == yes)
}

fn outcome(words: &mut Words<'_>) -> Option<RequestOutcome> {
    match words.next()? {
        "ok" => Some(RequestOutcome::Ok),
        "error" => words.number().map(|code| RequestOutcome::Error { code }),
        "not-sent" => Some(RequestOutcome::NotSent),
        "lost" => Some(RequestOutcome::Lost),
        "timed-out" => Some(RequestOutcome::TimedOut),
        _ => None,
    }
}

fn loss(words: &mut Words<'_>) -> Option<LossCause> {
    match words.next()? {
        "fin" => Some(LossCause::Fin),
        "reset" => Some(LossCause::Reset),
        "timeout" => Some(LossCause::Timeout),
        "code" => words.number().map(LossCause::Code),
        "unknown" => Some(LossCause::Unknown),
        _ => None,
    }
}

fn of_fault(words: &mut Words<'_>) -> Option<FaultEvent> {
    match words.next()? {
        "injected" => Some(FaultEvent::Injected),
        "targeted" => targets(words).map(FaultEvent::Targeted),
        "confirmed" => words.quoted().map(FaultEvent::Confirmed),
        "ineffective" => words.quoted().map(FaultEvent::Ineffective),
        "healed" => Some(FaultEvent::Healed),
        _ => None,
    }
}

fn targets(words: &mut Words<'_>) -> Option<Vec<InstanceId>> {
    let mut targets = Vec::new();
    while !words.is_empty() {
        targets.push(InstanceId(words.id('i')?));
    }
    Some(targets)
}

fn of_process(words: &mut Words<'_>) -> Option<ProcessEvent> {
    match words.next()? {
        "started" => Some(ProcessEvent::Started),
        "ready" => Some(ProcessEvent::Ready),
        "connections" => words.number().map(ProcessEvent::Connections),
        "exited" => match words.next()? {
            "code" => words.number().map(ProcessExit::Code),
            "signal" => words.number().map(ProcessExit::Signal),
            _ => None,
        }
        .map(ProcessEvent::Exited),
        _ => None,
    }
}
