//! The log's thread in the world: its turns, its orders to the disk, and what becomes of them.

use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::LogEvent;
use steadfast_hub::log::io::{self as log_io, SegmentNumber};
use steadfast_machine::Machine;

use crate::gateway::{WORLD_CORE, Waiting};
use crate::mutation::{Mutation, mutate};
use crate::world::{Event, World};

/// One order of the log that takes its time.
#[derive(Clone, Debug)]
pub(crate) enum DiskWork {
    Reserve {
        segment: SegmentNumber,
        bytes: u64,
    },
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
    },
    Sync {
        segment: SegmentNumber,
    },
    Read {
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
}

impl World {
    pub(crate) fn plan_log_turn(&mut self) {
        let Some(gateway) = self
            .gateway
            .as_mut()
            .filter(|g| g.is_open && !g.waiting.is_empty())
        else {
            return;
        };
        if !gateway.is_log_turn_planned {
            gateway.is_log_turn_planned = true;
            let delay = self
                .generator
                .between(Duration::from_micros(5), Duration::from_micros(300));
            self.clock.plan(delay, Event::LogTurn { life: self.life });
        }
    }

    /// The log's thread takes everything that waits.
    pub(crate) fn log_turn(&mut self) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        gateway.is_log_turn_planned = false;
        let mut batch = Vec::new();
        for waiting in std::mem::take(&mut gateway.waiting) {
            match waiting {
                Waiting::Request(request) => {
                    batch.push(mutate(request, self.mutation, &gateway.tops));
                }
                Waiting::Note(note) => {
                    self.totals.lapses +=
                        gateway.show_all(&LogEvent::Noted(note), self.settings.ring_entries);
                }
            }
        }
        let at = self.wall();
        self.tell_log(log_io::Input::Requested { batch, at });
        self.plan_core_turns();
    }

    /// Feeds the log and carries out what it orders.
    pub(crate) fn tell_log(&mut self, input: log_io::Input) {
        let now = self.clock.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let was_open = gateway.is_open;
        gateway.log.handle(now, input);
        while let Some(output) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.log.poll_output())
        {
            self.carry_out(output);
        }
        if !was_open && self.gateway.as_ref().is_some_and(|gateway| gateway.is_open) {
            self.learn_tops();
        }
        self.plan_core_turns();
        self.plan_tick();
    }

    fn carry_out(&mut self, output: log_io::Output) {
        let ring_entries = self.settings.ring_entries;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        match output {
            log_io::Output::Reserve { segment, bytes } => {
                self.work(
                    DiskWork::Reserve { segment, bytes },
                    Duration::from_millis(20),
                );
            }
            log_io::Output::Write { segment, at, bytes } => {
                let work = DiskWork::Write { segment, at, bytes };
                gateway.writing = Some(work.clone());
                self.work(work, Duration::from_micros(200));
            }
            log_io::Output::Sync { segment } => {
                self.work(DiskWork::Sync { segment }, Duration::from_millis(2));
            }
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                self.work(
                    DiskWork::Read {
                        read,
                        segment,
                        at,
                        len,
                    },
                    Duration::from_micros(300),
                );
            }
            log_io::Output::Remove { segment } => self.disk.remove(segment),
            log_io::Output::Opened(report) => {
                gateway.is_open = true;
                self.trouble_at = self.clock.now();
                self.check_clean_end(&report);
                self.totals.tails_cut += u64::from(report.torn.is_some());
            }
            log_io::Output::Damaged(damage) => self.refused_to_open(damage),
            log_io::Output::Commit(committed) => {
                let top = (committed.epoch, committed.record.offset);
                gateway.tops.insert(committed.channel.clone(), top);
                self.totals.lapses +=
                    gateway.show_all(&LogEvent::Committed(committed), ring_entries);
            }
            log_io::Output::Answer { ticket, answer } if ticket.core == WORLD_CORE => {
                gateway.told.insert(ticket.number, answer);
            }
            log_io::Output::Answer { ticket, answer } => {
                let core = gateway
                    .cores
                    .get_mut(usize::from(ticket.core))
                    .expect("the log answers who asked");
                core.unread.push_back(LogEvent::Answered {
                    number: ticket.number,
                    answer,
                });
            }
            log_io::Output::Notify(event) => self.note(event),
            log_io::Output::Closed => self.plan_stop(),
        }
    }

    /// Orders of the log take up to `longest`.
    fn work(&mut self, work: DiskWork, longest: Duration) {
        if let Some(gateway) = &mut self.gateway {
            gateway.working += 1;
        }
        let delay = self.generator.between(Duration::from_micros(10), longest);
        self.clock.plan(
            delay,
            Event::Disk {
                life: self.life,
                work,
            },
        );
    }

    /// The disk has carried out an order.
    pub(crate) fn disk_done(&mut self, work: DiskWork) {
        if let Some(gateway) = &mut self.gateway {
            gateway.working -= 1;
        }
        if let Some(fact) = self.refuse_for_space(&work) {
            self.tell_log(fact);
            return self.plan_log_turn();
        }
        let fact = match work {
            DiskWork::Reserve { segment, bytes } => {
                self.disk.reserve(segment, bytes);
                log_io::Input::Reserved { segment }
            }
            DiskWork::Write { segment, at, bytes } => {
                self.disk.write(segment, at, &bytes);
                if let Some(gateway) = &mut self.gateway {
                    gateway.writing = None;
                }
                log_io::Input::Written
            }
            DiskWork::Sync { segment } => {
                if self.mutation != Some(Mutation::NoSync) {
                    self.disk.sync(segment);
                }
                log_io::Input::Synced
            }
            DiskWork::Read {
                read,
                segment,
                at,
                len,
            } => log_io::Input::ReadDone {
                read,
                bytes: self.disk.read(segment, at, len),
            },
        };
        self.tell_log(fact);
        self.plan_log_turn();
    }
}
