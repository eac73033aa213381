//! The progress of a run as a few lines for a terminal: the phases as a bar, the clients, and the faults.

use std::time::Duration;

use steadfast_faults::counted::grouped;
use steadfast_faults::ledger::event::RunPhase;
use steadfast_faults::scenario::model::RunSettings;
use steadfast_lab::progress::Progress;
use steadfast_machine::convert;

use super::display::{remaining, run_name};

/// The greatest width of the bar of all phases in characters, with its separators.
const BAR_WIDTH_MAX: usize = 64;
/// The width of the bar of clients in characters.
const CLIENTS_WIDTH: u64 = 20;
/// The most faults that are named.
const FAULTS_MAX: usize = 3;

/// The lines for a run whose load has begun, for a terminal with this number of columns.
///
/// A line that is too long loses its least useful parts first: the bars, then the totals, then the names of faults.
pub(super) fn lines(progress: &Progress, run: &RunSettings, columns: usize) -> [String; 3] {
    [
        phases(progress, run, columns),
        clients(progress, columns),
        faults(progress, columns),
    ]
}

/// The first text that fits, or else the last one, of which the terminal shows the start.
fn first_that_fits<const N: usize>(columns: usize, texts: [String; N]) -> String {
    let fits = texts
        .iter()
        .position(|text| text.chars().count() <= columns);
    let chosen = fits.unwrap_or(N.saturating_sub(1));
    texts.into_iter().nth(chosen).unwrap_or_default()
}

/// The bar of all phases between the name of the run and the remaining time.
fn phases(progress: &Progress, run: &RunSettings, columns: usize) -> String {
    let name = run_name(progress);
    let left = format!("{} s left", remaining(progress));
    let around = name.len() + left.len() + " []  ".len();
    let width = columns.saturating_sub(around).min(BAR_WIDTH_MAX);
    match bar(progress, run, width) {
        Some(bar) => format!("{name} [{bar}]  {left}"),
        None => format!(
            "{name}: {}, {left}",
            phase_name(progress.phase, progress.is_control)
        ),
    }
}

/// A bar with one part for each phase, filled up to the present time. Each part has space for its name, and the rest
/// of the width is divided by the durations. Nothing if the names need more than the width.
fn bar(progress: &Progress, run: &RunSettings, width: usize) -> Option<String> {
    let phases = [
        (RunPhase::Baseline, run.baseline),
        (RunPhase::Steps, run.duration),
        (RunPhase::Quiet, run.quiet),
        (RunPhase::Drain, run.drain),
    ];
    let phases = phases
        .into_iter()
        .filter(|(_, duration)| !duration.is_zero());
    let phases: Vec<(RunPhase, &str, Duration)> = phases
        .map(|(phase, duration)| (phase, phase_name(phase, progress.is_control), duration))
        .collect();
    let names: usize = phases.iter().map(|(_, name, _)| name.len() + 1).sum();
    let separators = phases.len().saturating_sub(1);
    let rest = width.checked_sub(names + separators)?;
    let total = run.total().as_millis().max(1);
    let parts: Vec<String> = phases
        .into_iter()
        .map(|(phase, name, duration)| {
            let share = duration.as_millis() * u128::from(convert::to_u64(rest)) / total;
            let width = name.len() + 1 + convert::saturating::<usize>(share);
            let done = progress.elapsed.saturating_sub(run.begins(phase));
            part(name, width, done.min(duration), duration)
        })
        .collect();
    Some(parts.join("|"))
}

/// The name of a phase, followed by `=` where the time has passed and `.` where it has not. A name in capitals is that
/// of the present phase.
fn part(name: &str, width: usize, done: Duration, duration: Duration) -> String {
    let width_units = u128::from(convert::to_u64(width));
    let filled = done.as_millis() * width_units / duration.as_millis().max(1);
    let filled = convert::saturating::<usize>(filled);
    let is_present = !done.is_zero() && done < duration;
    let name = if is_present {
        name.to_uppercase()
    } else {
        name.to_owned()
    };
    let len = name.len();
    let rest = (len..width).map(|at| if at < filled { '=' } else { '.' });
    name.chars().chain(rest).collect()
}

const fn phase_name(phase: RunPhase, is_control: bool) -> &'static str {
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

fn clients(progress: &Progress, columns: usize) -> String {
    let (up, all) = (progress.clients_up, progress.clients);
    let filled = convert::to_u64(up) * CLIENTS_WIDTH / convert::to_u64(all).max(1);
    let bar = (0..CLIENTS_WIDTH).map(|at| if at < filled { '#' } else { '.' });
    let bar: String = bar.collect();
    let acknowledged = grouped(progress.acknowledged);
    let pending = grouped(convert::to_u64(progress.pending));
    let delivered = grouped(progress.delivered);
    let totals = format!("{acknowledged} acknowledged, {pending} pending, {delivered} delivered");
    first_that_fits(
        columns,
        [
            format!("clients [{bar}] {up}/{all}   {totals}"),
            format!("clients {up}/{all}, {totals}"),
            format!("clients {up}/{all}, {acknowledged} acknowledged, {pending} pending"),
            format!("clients {up}/{all}, {pending} pending"),
        ],
    )
}

/// Names as many of the faults in effect as fit, at most [`FAULTS_MAX`], and counts the others.
fn faults(progress: &Progress, columns: usize) -> String {
    let done = format!(
        "faults {} of {} healed",
        progress.faults_healed, progress.faults
    );
    let active = &progress.faults_active;
    let naming = |count: usize| {
        let named = active.iter().take(count).cloned().collect::<Vec<_>>();
        match (named.join("; "), active.len().saturating_sub(count)) {
            (_, _) if active.is_empty() => done.clone(),
            (named, 0) => format!("{done}, now {named}"),
            (_, rest) if count == 0 => format!("{done}, {rest} in effect"),
            (named, rest) => format!("{done}, now {named}; and {rest} more"),
        }
    };
    first_that_fits(
        columns,
        [naming(FAULTS_MAX), naming(2), naming(1), naming(0)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lab::display::tests::{progress, settings};

    fn during_a_fault() -> Progress {
        Progress {
            elapsed: Duration::from_secs(6),
            remaining: Duration::from_secs(14),
            clients_up: 4,
            faults: 5,
            faults_healed: 1,
            faults_active: vec!["proc.kill gateway:1".to_owned()],
            ..progress()
        }
    }

    #[test]
    fn the_lines_show_the_phase_the_clients_and_the_faults_in_effect() {
        assert_eq!(
            lines(&during_a_fault(), &settings(), 100),
            [
                "run [baseline=====|FAULTS=.............|quiet.......|drain.........]  14 s left",
                "clients [##########..........] 4/8   1,234 acknowledged, 12 pending, 4,000 delivered",
                "faults 1 of 5 healed, now proc.kill gateway:1",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_loses_the_bars_first() {
        for (columns, expected) in [
            (
                80,
                [
                    "run [baseline=====|FAULTS=............|quiet.......|drain.........]  14 s left",
                    "clients 4/8, 1,234 acknowledged, 12 pending, 4,000 delivered",
                    "faults 1 of 5 healed, now proc.kill gateway:1",
                ],
            ),
            (
                40,
                [
                    "run: faults, 14 s left",
                    "clients 4/8, 12 pending",
                    "faults 1 of 5 healed, 1 in effect",
                ],
            ),
        ] {
            assert_eq!(lines(&during_a_fault(), &settings(), columns), expected);
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let control = Progress {
            is_control: true,
            ..during_a_fault()
        };
        for columns in 40..200 {
            for progress in [during_a_fault(), control.clone()] {
                for line in lines(&progress, &settings(), columns) {
                    let width = line.chars().count();
                    assert!(width <= columns, "{width} of {columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_control_run_has_no_faults_and_many_faults_are_counted() {
        let control = Progress {
            is_control: true,
            ..progress()
        };
        let [bar, _, faults] = lines(&control, &settings(), 80);
        assert!(bar.starts_with("control run ["), "{bar}");
        assert!(bar.contains("|NO FAULTS"), "{bar}");
        assert_eq!(faults, "faults 0 of 0 healed");

        let many = Progress {
            faults: 9,
            faults_active: (1..=5).map(|it| format!("kill {it}")).collect(),
            ..progress()
        };
        let named = |columns| {
            let [_, _, faults] = lines(&many, &settings(), columns);
            faults
        };
        assert_eq!(
            named(80),
            "faults 0 of 9 healed, now kill 1; kill 2; kill 3; and 2 more"
        );
        assert_eq!(named(50), "faults 0 of 9 healed, now kill 1; and 4 more");
    }

    #[test]
    fn a_bar_is_empty_at_the_start_and_full_at_the_end() {
        let bar = |seconds| {
            let at = Progress {
                elapsed: Duration::from_secs(seconds),
                ..progress()
            };
            let [bar, ..] = lines(&at, &settings(), 100);
            bar
        };

        assert!(!bar(0).contains('='), "{}", bar(0));
        assert!(
            !bar(20).contains('.') && bar(20).contains('='),
            "{}",
            bar(20)
        );
    }
}
