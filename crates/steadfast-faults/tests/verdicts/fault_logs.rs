//! What the services printed around each fault: which lines are required, and how the page shows them.

use std::time::Duration;

use steadfast_faults::ledger::event::{FaultEvent, RunEvent, RunPhase};
use steadfast_faults::report::html::{FAULT_LINES_MAX, FaultLog, LogWindow, log_windows};
use steadfast_machine::Instant;

use crate::rendered::{element, page_with, parsed, rendered};
use crate::run::{MILLI, Run, healthy};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_lines_from_five_seconds_before_a_fault_until_five_seconds_after_its_heal_are_required() {
    let run = healthy();
    let ledger = run.ledger();

    let windows = windows(&run);

    assert_eq!(windows.len(), 2, "one for each fault and its target");
    for (window, fault) in windows.iter().zip(&ledger.faults) {
        let (injected, healed) = (fault.injected.unwrap(), fault.healed.unwrap());
        assert_eq!(window.fault, fault.planned.id);
        assert_eq!(fault.planned.targets, [window.instance]);
        assert_eq!(window.before.end, injected);
        assert_eq!(window.after, injected..healed + 5 * SECOND);
    }
    // The second fault is later than five seconds after the begin of the run.
    assert_eq!(windows[1].before.start + 5 * SECOND, windows[1].before.end);
}

#[test]
fn a_fault_without_an_effect_comes_first() {
    let mut run = healthy();
    let last = run.plan.faults().last().unwrap().id;
    let event = FaultEvent::Ineffective("it had exited before".to_owned());
    run.push(
        run.begin(RunPhase::Quiet),
        RunEvent::Fault { fault: last, event },
    );

    let windows = windows(&run);

    assert_eq!(windows[0].fault, last);
}

#[test]
fn a_fault_that_was_never_injected_requires_the_lines_of_its_planned_time() {
    let mut run = healthy();
    run.records
        .retain(|it| !matches!(it.event, RunEvent::Fault { .. }));

    let windows = windows(&run);

    let planned = run.begin(RunPhase::Steps) + run.plan.faults()[0].at;
    assert_eq!(windows[0].after, planned..planned + 5 * SECOND);
}

#[test]
fn lines_are_shown_with_their_times_and_the_begin_and_end_of_the_fault() {
    let run = healthy();
    let log = log(
        &run,
        &[(-1, "before <b>"), (1, "after"), (10_000, "much later")],
    );
    let page = page_with(&run, &[], &[log]);
    let document = parsed(&page);

    let shown = text_of(&page, "pre");

    let lines: Vec<&str> = shown.lines().collect();
    let times: Vec<&str> = lines
        .iter()
        .map(|it| it.split(" s ").next().unwrap())
        .collect();
    assert_eq!(lines.len(), 5, "{shown}");
    assert!(lines[0].ends_with(" s before <b>"), "{shown}");
    assert!(lines[1].contains(" s --- kill 1 injected"), "{shown}");
    assert!(lines[2].ends_with(" s after"), "{shown}");
    assert!(lines[3].contains(" s --- kill 1 healed"), "{shown}");
    assert!(lines[4].ends_with(" s much later"), "{shown}");
    let mut sorted = times.clone();
    sorted.sort_by(|a, b| {
        let seconds = |text: &str| text.parse::<f64>().unwrap();
        seconds(a).total_cmp(&seconds(b))
    });
    assert_eq!(times, sorted);
    let details = document.descendants().find(|it| {
        let summary = it.children().find(|it| it.has_tag_name("summary"));
        summary.is_some_and(|it| it.text().is_some_and(|it| it.starts_with("kill 1 at ")))
    });
    let details = details.unwrap();
    assert_eq!(details.attribute("open"), None, "it is collapsed");
    let link = details.descendants().find(|it| it.has_tag_name("a"));
    assert_eq!(
        link.unwrap().attribute("href"),
        Some("run/gateway-1/service.log")
    );
    assert!(page.contains("7 more lines of this time in "));
}

#[test]
fn the_programs_and_their_versions_are_in_the_page_and_in_the_junit_file() {
    let run = healthy();

    let page = page_with(&run, &[], &[]);
    let file = crate::rendered::junit_of(&run);

    for shown in ["gateway 1.2 &amp; 3", "/usr/bin/&lt;gateway&gt;"] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(file.contains("name=\"program.gateway\" value=\"gateway 1.2 &amp; 3\""));
}

#[test]
fn logs_of_faults_do_not_make_the_page_too_large_and_the_page_counts_those_it_leaves_out() {
    let run = healthy();
    let line = "<".repeat(10_000);
    let lines: Vec<(i64, &str)> = (0..40).map(|after| (after, line.as_str())).collect();
    let logs = vec![log(&run, &lines); 200];

    let page = page_with(&run, &[], &logs);

    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let shown = page.matches("<summary>kill 1 at ").count();
    assert!(shown > 10, "{shown}");
    let rest = 200 - shown;
    assert!(page.contains(&format!("{rest} more logs not shown.")));
}

fn windows(run: &Run) -> Vec<LogWindow> {
    let mut found = Vec::new();
    rendered(run, |report| {
        found = log_windows(report);
        String::new()
    });
    assert!(found.len() <= 20);
    found
}

/// A log of the first fault, with lines at these milliseconds from the fault.
fn log(run: &Run, lines: &[(i64, &str)]) -> FaultLog {
    let window = windows(run).remove(0);
    let injected = window.after.start;
    let at = |millis: i64| {
        let before = u32::try_from(millis.min(0).abs()).unwrap();
        let after = u32::try_from(millis.max(0)).unwrap();
        Instant::START + (injected - Instant::START).saturating_sub(before * MILLI) + after * MILLI
    };
    let of = |is_before: bool| {
        let lines = lines
            .iter()
            .filter(|(millis, _)| (*millis < 0) == is_before);
        let lines = lines.map(|(millis, line)| (at(*millis), (*line).to_owned()));
        lines.take(FAULT_LINES_MAX).collect()
    };
    FaultLog {
        path: "run/gateway-1/service.log".to_owned(),
        before: of(true),
        after: of(false),
        omitted: 7,
        window,
    }
}

/// The text of the only such element in the section of the faults.
fn text_of(page: &str, name: &str) -> String {
    let document = parsed(page);
    let main = element(&document, "main");
    let faults = main
        .children()
        .find(|it| it.attribute("id") == Some("faults"));
    let mut found = faults.unwrap().descendants();
    let first = found.find(|it| it.has_tag_name(name)).unwrap();
    first.text().unwrap().to_owned()
}
