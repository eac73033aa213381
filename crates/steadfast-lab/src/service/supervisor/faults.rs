//! Faults of a process: it is killed, terminated or suspended, and healed.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use steadfast_faults::ledger::event::{FaultEvent, ProcessEvent};
use steadfast_faults::topology::FaultId;

use super::Supervisor;
use crate::ending;
use crate::service::descendants;
use crate::service::process::{POLL_INTERVAL, signal};

/// Longest wait for the effect of a signal.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

impl Supervisor {
    pub(super) fn kill(&mut self, fault: FaultId) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(mut process) = self.process.take() else {
            self.restart_at = None;
            return self.report_ineffective(fault, "it was not running");
        };
        let status = process.kill();
        // What left the group is part of the instance too.
        descendants::kill(&self.setup.folder);
        self.confirm_end(fault, status, Signal::KILL);
    }

    pub(super) fn term(&mut self, fault: FaultId, grace: Duration) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(mut process) = self.process.take() else {
            self.restart_at = None;
            return self.report_ineffective(fault, "it was not running");
        };
        let stop = self.setup.stop.signal;
        if let Err(error) = process.request_stop(stop) {
            self.process = Some(process);
            return self.report_ineffective(fault, &error.to_string());
        }
        match process.wait(grace) {
            Ok(Some(status)) => self.confirm_end(fault, Ok(status), signal(stop)),
            Ok(None) => {
                let status = process.kill();
                self.confirm_end(fault, status, Signal::KILL);
            }
            Err(error) => self.report_ineffective(fault, &error.to_string()),
        }
        self.end_descendants();
    }

    fn confirm_end(&mut self, fault: FaultId, status: io::Result<ExitStatus>, expected: Signal) {
        self.starting = None;
        self.read_to_end();
        match status {
            Ok(status) => {
                let by = status.signal();
                let exit = ending::exit(status);
                self.send_process_event(ProcessEvent::Exited(exit));
                // A process can handle the stop signal and exit with a code; it cannot handle SIGKILL.
                if by == Some(expected.as_raw()) || (expected != Signal::KILL && by.is_none()) {
                    let evidence = FaultEvent::Confirmed(format!("it {}", ending::describe(exit)));
                    self.send_fault_event(fault, self.clock.now(), evidence);
                } else {
                    self.report_ineffective(fault, &format!("it {}", ending::describe(exit)));
                }
            }
            Err(error) => self.report_ineffective(fault, &error.to_string()),
        }
    }

    pub(super) fn pause(&self, fault: FaultId) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(process) = &self.process else {
            return self.report_ineffective(fault, "it was not running");
        };
        if let Err(error) = process.suspend() {
            return self.report_ineffective(fault, &error.to_string());
        }
        let deadline = self.clock.now() + CONFIRM_TIMEOUT;
        // What left the group is part of the instance too.
        while !descendants::suspend(&self.setup.folder) || !process.is_stopped() {
            if self.clock.now() >= deadline {
                return self.report_ineffective(fault, "not stopped by SIGSTOP");
            }
            thread::park_timeout(POLL_INTERVAL);
        }
        let evidence = FaultEvent::Confirmed("it is stopped".to_owned());
        self.send_fault_event(fault, self.clock.now(), evidence);
    }

    pub(super) fn heal(&mut self, fault: FaultId) {
        match &self.process {
            None => {
                self.healing = Some(fault);
                self.start();
            }
            Some(process) => {
                if !process.is_stopped() || !descendants::are_suspended(&self.setup.folder) {
                    self.report_ineffective(fault, "it ran again before the heal");
                }
                descendants::resume(&self.setup.folder);
                if let Err(error) = process.resume() {
                    self.report_failure(format!("failed to resume {}: {error}", self.setup.name()));
                }
                self.send_fault_event(fault, self.clock.now(), FaultEvent::Healed);
            }
        }
    }

    fn report_ineffective(&self, fault: FaultId, why: &str) {
        self.send_fault_event(
            fault,
            self.clock.now(),
            FaultEvent::Ineffective(why.to_owned()),
        );
    }
}
