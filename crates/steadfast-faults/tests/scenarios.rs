//! Scenario texts and their results: a plan, or an error with its location.
//!
//! Each file of `plans/` and `rejections/` contains a scenario, a line of dashes, and the expected result. The first
//! lines of a plan's file may set options: `# seed`, `# profile`, `# param`. The shipped scenarios are read from
//! `scenarios/`.

#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests may panic, as tests may"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast_faults::ledger::event::RunPhase;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::{ClientActivity, ClientKind};

const SEPARATOR: &str = "\n--------\n";

#[test]
fn a_scenario_and_a_seed_give_the_expected_plan() {
    let files = data_files("plans");
    assert!(!files.is_empty());

    for (path, scenario, expected) in files {
        let option = |key: &str| {
            let lines = scenario.lines();
            let values = lines.filter_map(|line| line.strip_prefix(&format!("# {key} = ")));
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let params = option("param").into_iter().map(|param| {
            let (name, value) = param.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let options = ScenarioOptions {
            profiles: option("profile"),
            params: params.collect(),
        };
        let seed = option("seed")[0].parse().unwrap();

        let parsed = Scenario::parse("plan.toml", &scenario, &options);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = match Plan::new(&parsed, seed) {
            Ok(plan) => describe(&parsed, &plan),
            Err(error) => format!("no plan: {error}\n"),
        };

        assert_eq!(text, expected, "{}", path.display());
    }
}

#[test]
fn an_invalid_scenario_is_rejected_with_file_line_and_key() {
    let files = data_files("rejections");
    assert!(!files.is_empty());

    for (path, scenario, expected) in files {
        let result = Scenario::parse("rejected.toml", &scenario, &ScenarioOptions::default());
        let error = result.expect_err(&path.display().to_string());

        assert_eq!(format!("{error}\n"), expected, "{}", path.display());
    }
}

#[test]
fn every_shipped_scenario_is_valid_and_has_a_plan_with_each_of_its_profiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let names = text.lines().filter_map(|line| {
            line.strip_prefix("[profile.")
                .and_then(|it| it.strip_suffix(']'))
        });
        let profiles = names.map(|name| vec![name.to_owned()]);
        for profiles in profiles.chain([Vec::new()]) {
            let options = ScenarioOptions {
                profiles,
                params: Vec::new(),
            };

            let scenario = Scenario::parse(&path.to_string_lossy(), &text, &options);

            let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
            for seed in 0..100 {
                let plan = Plan::new(&scenario, seed);
                assert!(!plan.unwrap().faults().is_empty(), "{}", path.display());
            }
            read += 1;
        }
    }
    assert!(read >= 3, "only {read} were read");
}

#[test]
fn a_file_name_that_differs_from_the_scenario_name_is_rejected() {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/gateway-kill.toml"),
    );

    let result = Scenario::parse(
        "gateway-kills.toml",
        &text.unwrap(),
        &ScenarioOptions::default(),
    );

    assert_eq!(result.unwrap_err().problem().key, "name");
}

#[test]
fn an_unknown_profile_or_parameter_is_rejected_with_the_nearest_name() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/gateway-kill.toml");
    let text = fs::read_to_string(path).unwrap();
    let profile = ScenarioOptions {
        profiles: vec!["extendedd".to_owned()],
        params: Vec::new(),
    };
    let param = ScenarioOptions {
        profiles: Vec::new(),
        params: vec![("client".to_owned(), "7".to_owned())],
    };

    let by_profile = Scenario::parse("gateway-kill.toml", &text, &profile);
    let by_param = Scenario::parse("gateway-kill.toml", &text, &param);

    assert_eq!(
        by_profile.unwrap_err().to_string(),
        "profile: `extendedd` not found\nhelp: did you mean `extended`?"
    );
    assert_eq!(
        by_param.unwrap_err().to_string(),
        "params: `client` not found\nhelp: did you mean `clients`?"
    );
}

#[test]
fn kinds_are_a_parameter_and_a_profile_replaces_the_description() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/gateway-freeze.toml");
    let text = fs::read_to_string(path).unwrap();
    let parse = |profiles: &[&str], params: &[(&str, &str)]| {
        let params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = ScenarioOptions {
            profiles: profiles.iter().map(|it| (*it).to_owned()).collect(),
            params: params.collect(),
        };
        Scenario::parse("gateway-freeze.toml", &text, &options).unwrap()
    };

    let full = parse(&[], &[]);
    let short = parse(
        &["short"],
        &[("kinds", "steadfast, centrifuge"), ("freeze", "3s")],
    );

    assert_eq!(full.loads()[0].kinds, ClientKind::LIBRARIES);
    assert!(full.about().contains("45s, longer than any heartbeat"));
    assert_eq!(
        short.loads()[0].kinds,
        [ClientKind::Steadfast, ClientKind::Centrifuge]
    );
    assert!(short.about().contains("3s, less than any heartbeat"));
    let freeze = ("freeze".to_owned(), "3s".to_owned());
    assert!(short.params().contains(&freeze));
}

fn data_files(folder: &str) -> Vec<(PathBuf, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let (scenario, expected) = text.split_once(SEPARATOR).unwrap();
        let parts = (format!("{scenario}\n"), expected.to_owned());
        (path, parts.0, parts.1)
    });
    read.collect()
}

fn describe(scenario: &Scenario, plan: &Plan) -> String {
    let mut text = String::new();
    let begins = |phase| scenario.run().begins(phase);
    let phases: Vec<String> = RunPhase::ALL
        .iter()
        .map(|phase| format!("{} {:?}", phase.name(), begins(*phase)))
        .collect();
    writeln!(text, "{}", phases.join(", ")).unwrap();
    let topology = plan.topology();
    for client in topology.clients() {
        let instance = topology.instance(client.instance).unwrap();
        let channel = &topology.channel(client.channel).unwrap().name;
        let kind = client.kind.name();
        let activity = match client.activity {
            ClientActivity::Full => "",
            ClientActivity::Receives => " receives",
            ClientActivity::Idle => " idle",
        };
        writeln!(
            text,
            "{} {kind} {instance} {channel}{activity}",
            client.name
        )
        .unwrap();
    }
    for fault in plan.faults() {
        let targets = fault.target_names(topology);
        writeln!(
            text,
            "{:?} {} {} {} {} until {:?}",
            fault.at,
            fault.step,
            fault.occurrence,
            fault.action.name(),
            targets.join(" "),
            fault.heal_at
        )
        .unwrap();
        let over: Vec<&str> = topology
            .clients()
            .iter()
            .filter(|it| fault.is_forwarded(it))
            .map(|it| it.name.as_str())
            .collect();
        if !over.is_empty() {
            writeln!(text, "   perhaps {}", over.join(" ")).unwrap();
        }
    }
    text
}
