//! Measures the client rows of the plan: one library per process, every library once per repeat.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use load::cost::{Cost, Meter, process_cpu, process_rss};
use load::job::{Job, Library, RECOVERY_CHANNEL, Report, Workload, now_ns};
use load::storm;

use super::plan::{LIBRARIES, Plan, Row};
use super::process::Process;
use super::results::{Results, Sample};
use crate::measure::NOISE_MAX;
use crate::paths::Paths;
use crate::servers::{PingInterval, RunningServer, Server};

/// Delay between the last session's start and the reading of the memory, for the release of temporary memory.
const SETTLE: Duration = Duration::from_millis(300);

/// Runs the complete plan: each repeat runs every library once, in rotated order.
pub(crate) fn run(plan: &Plan, paths: &Paths, machine: String) -> Result<Results> {
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        let mut order = LIBRARIES;
        order.rotate_left(usize::try_from(repeat)? % LIBRARIES.len());
        for row in plan.rows.iter().copied() {
            for library in order
                .into_iter()
                .filter(|library| row.is_applicable_to(*library))
            {
                crate::print_progress(&format!(
                    "repeat {} of {}: {} of {library:?}\n",
                    repeat + 1,
                    plan.repeats,
                    row.name()
                ))?;
                let run = Run {
                    row,
                    library,
                    repeat,
                    plan,
                    paths,
                };
                samples.push(run.repeat_if_disturbed()?);
            }
        }
    }
    Ok(Results {
        machine,
        repeats: plan.repeats,
        in_flight: plan.in_flight,
        idle: plan.idle,
        recovering: plan.recovering,
        samples,
    })
}

struct Run<'a> {
    row: Row,
    library: Library,
    repeat: u32,
    plan: &'a Plan,
    paths: &'a Paths,
}

/// The readings of the gateway and the client process at the start of a run.
struct Start {
    meter: Meter,
    client: u32,
    client_cpu: Duration,
}

impl Start {
    fn read(gateway: &RunningServer, client: &Process) -> Result<Self> {
        Ok(Self {
            client: client.pid(),
            client_cpu: process_cpu(client.pid())?,
            meter: Meter::start(gateway.pid())?,
        })
    }

    /// Returns the resources used, with the client process in the generator's share, and the client's CPU time.
    fn stop(&self) -> Result<(Cost, Duration)> {
        let mut cost = self.meter.stop()?;
        let cpu = process_cpu(self.client)?.saturating_sub(self.client_cpu);
        cost.generator_share = cpu.as_secs_f64() / cost.elapsed.as_secs_f64().max(1e-9);
        cost.others_share = (cost.others_share - cost.generator_share).max(0.0);
        Ok((cost, cpu))
    }
}

impl Run<'_> {
    /// Repeats a measurement that other processes disturbed, and returns the last sample.
    fn repeat_if_disturbed(&self) -> Result<Sample> {
        let mut sample = self.once()?;
        for _ in 0..self.plan.noise_retries {
            if sample.others_share <= NOISE_MAX {
                break;
            }
            sample = self.once()?;
        }
        Ok(sample)
    }

    fn once(&self) -> Result<Sample> {
        match self.row {
            Row::Calls => self.calls(),
            Row::Session => self.session(),
            Row::Recovery => self.recovery(Duration::ZERO),
            Row::RecoveryLate => self.recovery(self.plan.outage),
        }
    }

    fn start(&self, server: Server, workload: Workload) -> Result<(RunningServer, Process)> {
        let gateway = RunningServer::start(server, self.paths, 0, PingInterval::Default)?;
        let job = Job {
            library: self.library,
            port: gateway.target.port,
            workload,
        };
        let mut process = Process::start(self.paths, &job)?;
        process.wait_until_ready()?;
        Ok((gateway, process))
    }

    fn sample(&self, cost: &Cost) -> Sample {
        Sample {
            client_share: cost.generator_share,
            server_share: cost.server_share,
            others_share: cost.others_share,
            ..Sample::new(self.row, self.library, self.repeat)
        }
    }

    fn calls(&self) -> Result<Sample> {
        let workload = Workload::Calls {
            in_flight: self.plan.in_flight,
            warm_up_ms: millis(self.plan.warm_up)?,
            time_ms: millis(self.plan.time)?,
        };
        let (gateway, mut process) = self.start(Server::GatewayMemory, workload)?;
        let start = Start::read(&gateway, &process)?;
        process.proceed()?;
        let Report::CallsCompleted { calls, elapsed_ns } = process.receive()? else {
            bail!("unexpected report instead of the number of calls");
        };
        let (cost, cpu) = start.stop()?;
        let calls = f64::from(u32::try_from(calls)?);
        Ok(Sample {
            value: calls / Duration::from_nanos(elapsed_ns).as_secs_f64(),
            per_client_second: calls / cpu.as_secs_f64().max(1e-3),
            ..self.sample(&cost)
        })
    }

    fn session(&self) -> Result<Sample> {
        let sessions = self.plan.idle;
        let (gateway, mut process) =
            self.start(Server::GatewayMemory, Workload::Idle { sessions })?;
        let start = Start::read(&gateway, &process)?;
        let empty = process_rss(process.pid())?;
        process.proceed()?;
        let Report::SessionsOpened = process.receive()? else {
            bail!("unexpected report instead of opened sessions");
        };
        thread::sleep(SETTLE);
        let full = process_rss(process.pid())?;
        let (cost, _) = start.stop()?;
        process.proceed()?;
        process.wait_until_ready()?;
        let growth = u32::try_from(full.saturating_sub(empty) / 1024)?;
        Ok(Sample {
            value: f64::from(growth) * 1024.0 / f64::from(sessions),
            ..self.sample(&cost)
        })
    }

    /// Kills the gateway, restarts it after `outage`, and then sends the publications that every session must receive.
    fn recovery(&self, outage: Duration) -> Result<Sample> {
        let workload = Workload::Recovery {
            sessions: self.plan.recovering,
            publications: self.plan.missed,
        };
        let (mut gateway, mut process) = self.start(Server::GatewayDurable, workload)?;
        thread::sleep(self.plan.connected_for);
        let killed_at = now_ns();
        gateway.kill()?;
        thread::sleep(outage);
        gateway.restart(self.paths)?;
        let open_at = now_ns();
        let start = Start::read(&gateway, &process)?;
        storm::publish(
            gateway.target,
            RECOVERY_CHANNEL,
            u64::from(self.plan.missed),
        )?;
        let Report::Recovered {
            mut at_ns,
            attempts,
        } = process.receive()?
        else {
            bail!("unexpected report instead of recovered sessions");
        };
        let (cost, cpu) = start.stop()?;
        ensure!(at_ns.len() == usize::try_from(self.plan.recovering)?);
        at_ns.sort_unstable();
        let since_kill = |ns: u64| Duration::from_nanos(ns.saturating_sub(killed_at)).as_secs_f64();
        let at = |percent: usize| {
            let index = (at_ns.len() * percent / 100).min(at_ns.len().saturating_sub(1));
            since_kill(at_ns.get(index).copied().unwrap_or_default())
        };
        let sessions = f64::from(self.plan.recovering);
        Ok(Sample {
            value: at(99),
            median: at(50),
            unavailable: since_kill(open_at),
            attempts_mean: f64::from(attempts.iter().sum::<u32>()) / sessions,
            attempts_max: attempts.iter().copied().max().unwrap_or_default(),
            cpu_us_per_session: cpu.as_secs_f64() * 1e6 / sessions,
            ..self.sample(&cost)
        })
    }
}

fn millis(time: Duration) -> Result<u64> {
    Ok(u64::try_from(time.as_millis())?)
}
