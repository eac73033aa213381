//! The documents of the crate: what they list is what the crate has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use steadfast::{SessionSnapshot, StageTimeouts, defaults};

use crate::public_api;

const GUIDE: &str = include_str!("../../../../docs/client-guide.md");
const README: &str = include_str!("../../README.md");
const MANIFEST: &str = include_str!("../../Cargo.toml");
const LOG: &str = include_str!("../../src/driver/log.rs");

/// The path of each default that is not a struct, and its value as the guide writes it.
type Values = BTreeMap<String, String>;

/// All constants of `steadfast::defaults` by name, and the fields of those that are structs.
fn defaults() -> (BTreeSet<String>, Values) {
    let (mut names, mut values) = (BTreeSet::new(), Values::new());
    macro_rules! add {
        ($($name:ident)*) => {
            $(
                names.insert(stringify!($name).to_owned());
                add_fields(&mut values, stringify!($name), &defaults::$name);
            )*
        };
    }
    add! {
        BACKOFF BUFFER_BYTES_MAX BUFFER_LEN_MAX CALLS_MAX CALL_TIMEOUT CLOSE_TIMEOUT CONNECT_TIMEOUT DEGRADED_AFTER DIALS_MAX
        DIAL_JITTER
        DRAIN_TIMEOUT ENDPOINTS LIVENESS LIVENESS_FAST OUTBOX READINESS_GRACE RECEIVED_MESSAGE_BYTES_MAX
        SKIPPED_MESSAGE_BYTES_MAX SUBSCRIPTIONS_MAX
    }
    (names, values)
}

/// Adds the fields of a value by the output of its `Debug`, which contains every field, also one that is added later.
fn add_fields(values: &mut Values, name: &str, value: &impl Debug) {
    let mut path = vec![name.to_owned()];
    for line in format!("{value:#?}").lines() {
        let line = line.trim().trim_end_matches(',');
        match line.split_once(": ") {
            Some((field, rest)) if rest.ends_with('{') => path.push(field.to_owned()),
            Some((field, value)) => {
                values.insert(format!("{}.{field}", path.join(".")), readable(value));
            }
            None if line == "}" => drop(path.pop()),
            None if line.ends_with('{') => {}
            None => drop(values.insert(path.join("."), readable(line))),
        }
    }
}

/// A value in the words of the guide: `300s` is `5 min`, `8388608` is `8 MiB`, `None` is `none`.
fn readable(value: &str) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    if let Some(millis) = value.strip_suffix("ms") {
        return format!("{millis} ms");
    }
    if let Some(seconds) = value.strip_suffix('s') {
        return match seconds.parse::<u64>().unwrap() {
            seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} min", seconds / 60),
            seconds => format!("{seconds} s"),
        };
    }
    match value.parse::<u64>() {
        Ok(number) if number >= MEBIBYTE => format!("{} MiB", number / MEBIBYTE),
        Ok(number) if number >= 1_000 => format!("{},{:03}", number / 1_000, number % 1_000),
        Ok(number) => number.to_string(),
        Err(_) => value.to_lowercase(),
    }
}

/// The first two cells of each row of the first table of a section, without the backticks of the first one.
fn rows(document: &str, heading: &str) -> Vec<(String, String)> {
    let (_, section) = document.split_once(&format!("\n{heading}\n")).unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let mut cell = || cells.next().unwrap().to_owned();
        (cell().replace('`', ""), cell())
    })
    .collect()
}

#[test]
fn the_guide_lists_each_default_with_its_value() {
    let (_, mut expected) = defaults();
    let each = StageTimeouts::DEFAULT.resolve;
    assert_eq!(StageTimeouts::DEFAULT, StageTimeouts::new(each));
    add_fields(&mut expected, "StageTimeouts::DEFAULT", &each);

    let listed = rows(GUIDE, "## Defaults");

    assert_eq!(
        listed.len(),
        expected.len(),
        "a row is missing, or is there twice"
    );
    assert_eq!(listed.into_iter().collect::<Values>(), expected);
}

#[test]
fn this_test_knows_every_default() {
    let (names, _) = defaults();

    assert_eq!(names, public_api::defaults());
}

#[test]
fn the_guide_lists_each_log_line_with_its_level() {
    let expected: BTreeSet<(String, String)> = LOG
        .split("tracing::")
        .skip(1)
        .filter_map(|text| {
            let (level, arguments) = text.split_once("!(")?;
            let (arguments, _) = arguments.split_once("\")")?;
            let (_, message) = arguments.rsplit_once('"')?;
            Some((level.to_uppercase(), format!("`{message}`")))
        })
        .collect();

    assert!(expected.len() > 7, "{expected:?}");
    let listed = rows(GUIDE, "### Log lines");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_guide_lists_each_field_of_the_state() {
    let snapshot = format!("{:#?}", SessionSnapshot::default());
    let fields = snapshot
        .lines()
        .filter_map(|line| line.strip_prefix("    "));
    let fields = fields.filter_map(|line| Some(line.split_once(": ")?.0));
    let expected: BTreeSet<&str> = fields.filter(|it| !it.starts_with(' ')).collect();

    let listed = rows(GUIDE, "### State");

    let listed = listed.iter().flat_map(|(names, _)| names.split(", "));
    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_readme_lists_each_feature_and_whether_it_is_a_default() {
    let (_, features) = MANIFEST.split_once("[features]\n").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let entries: BTreeMap<&str, &str> = features
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .collect();
    let is_default = |name: &str| entries["default"].contains(&format!("\"{name}\""));
    let expected: Vec<(String, String)> = entries
        .keys()
        .filter(|name| **name != "default")
        .map(|name| {
            (
                (*name).to_owned(),
                if is_default(name) { "yes" } else { "no" }.to_owned(),
            )
        })
        .collect();

    assert_eq!(rows(README, "## Features"), expected);
}

#[test]
fn the_links_of_the_readme_lead_to_files_of_the_repository() {
    let folder = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");

    let links: Vec<&str> = README
        .lines()
        .filter_map(|line| Some(line.split_once(folder)?.1))
        .collect();

    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(root.join(link).is_file(), "{link}");
    }
}
