//! The JUnit file, as CI systems read it.

use std::collections::BTreeSet;

use roxmltree::{Document, Node};
use steadfast_faults::ledger::event::{HarnessEvent, RunEvent, RunPhase};

use crate::rendered::{COMMAND, element, junit_of};
use crate::run::{healthy, with_a_lost_message};

#[test]
fn a_passed_run_has_a_junit_file_without_failures() {
    let run = healthy();

    let text = junit_of(&run);

    let document = Document::parse(&text).unwrap();
    let suite = element(&document, "testsuite");
    let cases = cases(&document);
    assert_eq!(
        suite.attribute("tests"),
        Some(cases.len().to_string().as_str())
    );
    assert_eq!(cases.len(), 12 + 17, "one for each check and each guard");
    for outcome in ["failures", "errors", "skipped"] {
        assert_eq!(suite.attribute(outcome), Some("0"));
    }
    let command = property(&document, "command");
    assert_eq!(command, Some(COMMAND));
    assert_eq!(property(&document, "verdict"), Some("PASS"));
}

#[test]
fn a_failed_check_is_a_failure_with_its_numbers() {
    let document_text = junit_of(&with_a_lost_message());
    let document = Document::parse(&document_text).unwrap();

    let failed = failures(&document, "failure");

    assert_eq!(
        failed,
        [(
            "no-acknowledged-message-lost".to_owned(),
            "1 lost of 1,792 expected deliveries, must be 0 (condition: delivery.lost == 0)"
                .to_owned()
        )]
    );
    let suite = element(&document, "testsuite");
    assert_eq!(suite.attribute("failures"), Some("1"));
    assert_eq!(suite.attribute("errors"), Some("0"));
}

#[test]
fn what_makes_a_run_inconclusive_is_an_error_and_never_a_failure() {
    let mut run = with_a_lost_message();
    let at = run.begin(RunPhase::Quiet);
    let failed = HarnessEvent::Failed("driver <x> exited".to_owned());
    run.push(at, RunEvent::Harness(failed));

    let text = junit_of(&run);

    let document = Document::parse(&text).unwrap();
    assert_eq!(failures(&document, "failure"), []);
    let errors = failures(&document, "error");
    let names: Vec<&str> = errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["no-acknowledged-message-lost", "the harness did not fail"]
    );
    assert_eq!(errors[1].1, "driver <x> exited");
}

#[test]
fn a_check_that_is_not_applicable_is_skipped_with_the_reason() {
    let mut run = healthy();
    run.records = run.control.clone().unwrap();
    run.use_scenario(
        "gateway-freeze",
        include_str!("../../../../scenarios/gateway-freeze.toml"),
    );

    let text = junit_of(&run);

    let document = Document::parse(&text).unwrap();
    let skipped = failures(&document, "skipped");
    let detection = skipped.iter().find(|(name, _)| name == "detection-bounded");
    let (_, reason) = detection.unwrap();
    assert!(reason.starts_with("no samples, must be <= "), "{reason}");
}

/// The structure that CI systems agree on: the elements, their attributes, their order, and the numbers of the suite.
#[test]
fn every_report_has_the_structure_that_readers_of_junit_require() {
    let lost = with_a_lost_message();
    let mut inconclusive = with_a_lost_message();
    let at = inconclusive.begin(RunPhase::Quiet);
    let failed = HarnessEvent::Failed(HOSTILE.to_owned());
    inconclusive.push(at, RunEvent::Harness(failed));
    let mut untested = healthy();
    untested.records = untested.control.clone().unwrap();
    let freeze = include_str!("../../../../scenarios/gateway-freeze.toml");
    untested.use_scenario("gateway-freeze", freeze);

    let mut outcomes = BTreeSet::new();
    for run in [healthy(), lost, inconclusive, untested] {
        let text = junit_of(&run);

        let document = Document::parse(&text).unwrap();
        check_element(document.root_element());
        check_counts(element(&document, "testsuite"));
        assert_eq!(document.root_element().tag_name().name(), "testsuites");
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
        let is_excluded = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
        assert!(!text.contains(is_excluded), "{text}");
        for case in cases(&document) {
            outcomes.extend(outcome(case));
        }
    }
    assert_eq!(
        outcomes.into_iter().collect::<Vec<_>>(),
        ["error", "failure", "skipped"],
        "the runs have every outcome"
    );
}

/// The text of a driver with everything that XML excludes or gives a meaning.
const HOSTILE: &str = "a]]> <b> & \"c\" 'd' \u{0}\u{1b}[2J\u{fffe}\r\nend";

/// An element of the format: its name, its attributes with `!` if they are required, and its children in their order.
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const RULES: [Rule; 9] = [
    (
        "testsuites",
        &["name", "tests", "failures", "errors", "time"],
        &["testsuite"],
    ),
    (
        "testsuite",
        &[
            "name!",
            "tests!",
            "failures!",
            "errors!",
            "skipped",
            "time!",
        ],
        &["properties", "testcase", "system-out"],
    ),
    ("properties", &[], &["property"]),
    ("property", &["name!", "value!"], &[]),
    (
        "testcase",
        &["name!", "classname!", "time!"],
        &["skipped", "error", "failure", "system-out"],
    ),
    ("skipped", &["message"], &[]),
    ("error", &["message", "type!"], &[]),
    ("failure", &["message", "type!"], &[]),
    ("system-out", &[], &[]),
];

/// Checks an element and all elements in it.
fn check_element(node: Node<'_, '_>) {
    let name = node.tag_name().name();
    let rule = RULES.iter().find(|(it, ..)| *it == name);
    let (_, attributes, children) = rule.unwrap_or_else(|| panic!("unknown element {name}"));
    for attribute in node.attributes() {
        let known = attributes
            .iter()
            .any(|it| it.trim_end_matches('!') == attribute.name());
        assert!(known, "{name} has no attribute {}", attribute.name());
    }
    for required in attributes.iter().filter_map(|it| it.strip_suffix('!')) {
        assert!(node.has_attribute(required), "{name} needs {required}");
    }
    if let Some(time) = node.attribute("time") {
        let (seconds, decimals) = time.split_once('.').unwrap_or((time, ""));
        let is_number = |text: &str| text.chars().all(|it| it.is_ascii_digit());
        assert!(
            !seconds.is_empty() && is_number(seconds) && is_number(decimals) && decimals.len() <= 3,
            "time {time}"
        );
    }
    let elements = node.children().filter(Node::is_element);
    let places: Vec<usize> = elements
        .map(|child| {
            check_element(child);
            let child = child.tag_name().name();
            let place = children.iter().position(|it| *it == child);
            place.unwrap_or_else(|| panic!("{name} contains no {child}"))
        })
        .collect();
    assert!(places.is_sorted(), "{name}: {places:?} of {children:?}");
    let once = children
        .iter()
        .zip(0..)
        .filter(|(it, _)| !["testsuite", "testcase", "property"].contains(it));
    for (child, place) in once {
        let count = places.iter().filter(|it| **it == place).count();
        assert!(count <= 1, "{count} {child} in {name}");
    }
}

/// The numbers of a suite are those of its cases, of which each has at most one outcome and a name of its own.
fn check_counts(suite: Node<'_, '_>) {
    let document = suite.document();
    let cases = cases(document);
    let names: BTreeSet<_> = cases
        .iter()
        .map(|it| (it.attribute("classname"), it.attribute("name")))
        .collect();
    assert_eq!(names.len(), cases.len(), "two cases with one name");
    let outcomes: Vec<&str> = cases.iter().filter_map(|it| outcome(*it)).collect();
    let count = |name| outcomes.iter().filter(|it| **it == name).count();
    for (attribute, expected) in [
        ("tests", cases.len()),
        ("failures", count("failure")),
        ("errors", count("error")),
        ("skipped", count("skipped")),
    ] {
        for node in [suite, document.root_element()] {
            let found = node.attribute(attribute);
            if found.is_some() || node == suite {
                assert_eq!(found, Some(expected.to_string().as_str()), "{attribute}");
            }
        }
    }
}

/// The outcome of a case; `None` if it passed.
fn outcome(case: Node<'_, '_>) -> Option<&'static str> {
    let found = ["error", "failure", "skipped"].into_iter().filter(|name| {
        let children = case.children();
        children.into_iter().any(|it| it.has_tag_name(*name))
    });
    let found: Vec<&str> = found.collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().copied()
}

fn cases<'a>(document: &'a Document<'a>) -> Vec<Node<'a, 'a>> {
    let all = document.descendants();
    all.filter(|it| it.has_tag_name("testcase")).collect()
}

/// The name of each case with this child, and the message of the child.
fn failures(document: &Document<'_>, child: &str) -> Vec<(String, String)> {
    let found = cases(document).into_iter().filter_map(|case| {
        let child = case.children().find(|it| it.has_tag_name(child))?;
        let text = |node: Node<'_, '_>, name| node.attribute(name).unwrap().to_owned();
        Some((text(case, "name"), text(child, "message")))
    });
    found.collect()
}

fn property<'a>(document: &'a Document<'a>, name: &str) -> Option<&'a str> {
    let all = document.descendants();
    let mut named =
        all.filter(|it| it.has_tag_name("property") && it.attribute("name") == Some(name));
    named.next()?.attribute("value")
}
