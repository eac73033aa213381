//! The progress of a run as a few lines for a terminal: the phases as a bar, the clients, and the faults.

use std::time::Duration;

use steadfast_faults::counted::grouped;
use steadfast_faults::ledger::event::RunPhase;
use steadfast_faults::scenario::model::RunSettings;
use steadfast_lab::progress::Progress;
use steadfast_machine::convert;

use super::display::{remaining, run_name};

/// The width of the bar of all phases in characters.
const BAR_WIDTH: u64 = 48;
/// The width of the bar of clients in characters.
const CLIENTS_WIDTH: u64 = 20;
/// The most faults that are named.
const FAULTS_MAX: usize = 3;

/// The lines for a run whose load has begun.
pub(super) fn lines(progress: &Progress, run: &RunSettings) -> [String; 3] {
    [
        format!(
            "{} {}  {} s left",
            run_name(progress),
            phases(progress, run),
            remaining(progress)
        ),
        clients(progress),
        faults(progress),
    ]
}

/// A bar with one part for each phase, filled up to the present time; each part has the width of its share of the run,
/// and at least that of its name.
fn phases(progress: &Progress, run: &RunSettings) -> String {
    let phases = [
        (RunPhase::Baseline, run.baseline),
        (RunPhase::Steps, run.duration),
        (RunPhase::Quiet, run.quiet),
        (RunPhase::Drain, run.drain),
    ];
    let total = run.total().as_millis().max(1);
    let mut bar = "[".to_owned();
    for (phase, duration) in phases.into_iter().filter(|(_, it)| !it.is_zero()) {
        let name = name(phase, progress.is_control);
        let share = duration.as_millis() * u128::from(BAR_WIDTH) / total;
        let width = convert::saturating::<u64>(share).max(convert::to_u64(name.len()) + 1);
        let done = progress.elapsed.saturating_sub(run.begins(phase));
        bar.push_str(&part(name, width, done.min(duration), duration));
        bar.push('|');
    }
    bar.pop();
    bar.push(']');
    bar
}

/// The name of a phase, followed by `=` where the time has passed and `.` where it has not. A name in capitals is that
/// of the present phase.
fn part(name: &str, width: u64, done: Duration, duration: Duration) -> String {
    let filled = done.as_millis() * u128::from(width) / duration.as_millis().max(1);
    let filled = convert::saturating::<usize>(filled);
    let is_present = !done.is_zero() && done < duration;
    let name = if is_present {
        name.to_uppercase()
    } else {
        name.to_owned()
    };
    let len = name.len();
    let rest = (len..convert::saturating(width)).map(|at| if at < filled { '=' } else { '.' });
    name.chars().chain(rest).collect()
}

const fn name(phase: RunPhase, is_control: bool) -> &'static str {
    match phase {
        RunPhase::Steps if is_control => "no faults",
        RunPhase::Steps => "faults",
        RunPhase::Connect
        | RunPhase::Baseline
        | RunPhase::Quiet
        | RunPhase::Drain
        | RunPhase::End => phase.name(),
    }
}

fn clients(progress: &Progress) -> String {
    let (up, all) = (progress.clients_up, progress.clients);
    let filled = convert::to_u64(up) * CLIENTS_WIDTH / convert::to_u64(all).max(1);
    let bar = (0..CLIENTS_WIDTH).map(|at| if at < filled { '#' } else { '.' });
    let bar: String = bar.collect();
    format!(
        "clients [{bar}] {up}/{all}   {} acknowledged, {} pending, {} delivered",
        grouped(progress.acknowledged),
        grouped(convert::to_u64(progress.pending)),
        grouped(progress.delivered),
    )
}

fn faults(progress: &Progress) -> String {
    let done = format!(
        "faults {} of {} healed",
        progress.faults_healed, progress.faults
    );
    let active = &progress.faults_active;
    let rest = active.len().saturating_sub(FAULTS_MAX);
    match active.get(..active.len().min(FAULTS_MAX)) {
        None | Some([]) => done,
        Some(named) if rest == 0 => format!("{done}, now {}", named.join("; ")),
        Some(named) => format!("{done}, now {}; and {rest} more", named.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lab::display::tests::{progress, settings};

    #[test]
    fn the_lines_show_the_phase_the_clients_and_the_faults_in_effect() {
        let progress = Progress {
            elapsed: Duration::from_secs(6),
            remaining: Duration::from_secs(14),
            clients_up: 4,
            faults: 5,
            faults_healed: 1,
            faults_active: vec!["proc.kill gateway:1".to_owned()],
            ..progress()
        };

        assert_eq!(
            lines(&progress, &settings()),
            [
                "run [baseline==|FAULTS==................|quiet.......|drain.......]  14 s left",
                "clients [##########..........] 4/8   1,234 acknowledged, 12 pending, 4,000 delivered",
                "faults 1 of 5 healed, now proc.kill gateway:1",
            ]
        );
    }

    #[test]
    fn a_control_run_has_no_faults_and_many_faults_are_counted() {
        let control = Progress {
            is_control: true,
            ..progress()
        };
        let [bar, _, faults] = lines(&control, &settings());
        assert!(bar.starts_with("control run ["), "{bar}");
        assert!(bar.contains("|no faults"), "{bar}");
        assert_eq!(faults, "faults 0 of 0 healed");

        let many = Progress {
            faults: 9,
            faults_active: (1..=5).map(|it| format!("kill {it}")).collect(),
            ..progress()
        };
        let [_, _, faults] = lines(&many, &settings());
        assert_eq!(
            faults,
            "faults 0 of 9 healed, now kill 1; kill 2; kill 3; and 2 more"
        );
    }

    #[test]
    fn a_bar_is_empty_at_the_start_and_full_at_the_end() {
        for (elapsed, expected) in [(0, 0), (20, 33)] {
            let at = Progress {
                elapsed: Duration::from_secs(elapsed),
                ..progress()
            };
            let [bar, ..] = lines(&at, &settings());
            assert_eq!(bar.matches('=').count(), expected, "{bar}");
        }
    }
}
