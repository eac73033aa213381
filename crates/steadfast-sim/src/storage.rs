//! What befalls the log besides crashes: a disk that is full for a while, and ends in peace.

use std::time::Duration;

use steadfast_hub::io::Input as HubInput;
use steadfast_hub::log::event::Event as LogEvent;
use steadfast_hub::log::io::{FailedOrder, Input, StorageFault};
use steadfast_hub::log::open::{Damage, DamageKind, OpenReport};

use crate::gateway::Ending;
use crate::log_thread::DiskWork;
use crate::reference::Promise;
use crate::settings::CORES;
use crate::world::{Event, World};

impl World {
    /// Nothing more fits on the disk, for a while.
    pub(crate) fn fill_disk(&mut self) {
        self.disk.is_full = true;
        self.note_trouble();
        let delay = self
            .generator
            .between(Duration::from_millis(20), Duration::from_millis(400));
        self.clock.plan(delay, Event::FreeDisk);
    }

    /// There is room again.
    pub(crate) fn free_disk(&mut self) {
        self.disk.is_full = false;
        self.note_trouble();
    }

    /// The answer of a full disk to an order. A write may stand there in part all the same.
    pub(crate) fn refuse_for_space(&mut self, work: &DiskWork) -> Option<Input> {
        if !self.disk.is_full {
            return None;
        }
        let order = match work {
            DiskWork::Reserve { segment, .. } => FailedOrder::Reserve(*segment),
            // Space that was reserved is usually there.
            DiskWork::Write { .. } if self.generator.chance(1, 2) => return None,
            DiskWork::Write { segment, at, bytes } => {
                let part = self
                    .generator
                    .below(u64::try_from(bytes.len()).unwrap_or(0));
                let written = bytes.get(..usize::try_from(part).unwrap_or(0));
                self.disk.write(*segment, *at, written.unwrap_or_default());
                FailedOrder::Write
            }
            DiskWork::Sync { .. } | DiskWork::Read { .. } => return None,
        };
        if let Some(gateway) = &mut self.gateway
            && order == FailedOrder::Write
        {
            gateway.writing = None;
        }
        self.totals.orders_refused += 1;
        Some(Input::Failed {
            order,
            fault: StorageFault::NoSpace,
        })
    }

    /// The log cannot be opened. For want of room the process ends and is started again later; nothing else may happen.
    pub(crate) fn refused_to_open(&mut self, damage: Damage) {
        let no_space = DamageKind::Unusable {
            fault: StorageFault::NoSpace,
        };
        if damage.why == no_space && self.totals.orders_refused > 0 {
            self.totals.starts_refused += 1;
            self.plan_stop();
        } else {
            self.reference
                .break_promise(Promise::TheLogOpens, format!("{damage:?}"));
        }
    }

    /// Notes what the log tells people.
    pub(crate) fn note(&mut self, event: LogEvent) {
        match event {
            LogEvent::SegmentRemoved { .. } => self.totals.segments_removed += 1,
            LogEvent::EndedUnclean => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.ending = Ending::Unmarked;
                }
            }
            LogEvent::Poisoned { .. } | LogEvent::RecordUnreadable { .. } => {
                let seen = format!("a disk without faults: {event:?}");
                self.reference
                    .break_promise(Promise::NothingAcknowledgedIsLost, seen);
            }
            LogEvent::SegmentBegun { .. }
            | LogEvent::DiskFull { .. }
            | LogEvent::DiskHealed
            | LogEvent::RemoveFailed { .. }
            | LogEvent::LimitReached { .. }
            | LogEvent::ChannelsForgotten { .. } => {}
        }
    }

    /// The process is asked to end, if it is up.
    pub(crate) fn ask_to_stop(&mut self) {
        let at = self.wall();
        let Some(gateway) = self
            .gateway
            .as_mut()
            .filter(|gateway| gateway.is_open && gateway.ending == Ending::NotAsked)
        else {
            self.clock.plan(Duration::from_millis(50), Event::AskToStop);
            return;
        };
        gateway.ending = Ending::Asked;
        self.note_trouble();
        // Every other time the clients are told first; a process that hurries lets its connections break.
        if self.generator.chance(1, 2) {
            for core in 0..usize::from(CORES) {
                self.tell_hub(core, HubInput::ShutdownRequested);
            }
        }
        self.tell_log(Input::CloseRequested { at });
    }

    /// The log has ended; the process follows.
    pub(crate) fn plan_stop(&mut self) {
        self.clock
            .plan(Duration::ZERO, Event::Stop { life: self.life });
    }

    /// The process has ended by itself. The power fails at once, which a clean end survives.
    pub(crate) fn stop(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        self.ended_clean = gateway.ending == Ending::Asked;
        self.totals.clean_restarts += u64::from(self.ended_clean);
        if self.ended_clean && self.disk.has_unsynced() {
            self.reference.break_promise(
                Promise::ACleanEndIsKept,
                "not everything is synced".to_owned(),
            );
        }
        self.disk.crash(&mut self.generator);
        self.end_life();
    }

    /// A start behind a clean end must find it.
    pub(crate) fn check_clean_end(&mut self, report: &OpenReport) {
        if self.ended_clean && (!report.clean || report.epochs_changed) {
            self.reference
                .break_promise(Promise::ACleanEndIsKept, format!("{report:?}"));
        }
        self.ended_clean = false;
    }
}
