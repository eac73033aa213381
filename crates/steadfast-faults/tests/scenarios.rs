//! Texts of scenarios and what becomes of them: a plan, or a refusal that names the place.
//!
//! Each file of `plans/` and `refusals/` holds a scenario, a line of dashes, and what is expected. The first lines of a
//! plan's file may choose: `# seed`, `# profile`, `# param`. Shipped scenarios are read from `scenarios/`.

#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests fail loudly like the tests themselves"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast_faults::ledger::record::Phase;
use steadfast_faults::scenario::Choice;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;

const SEPARATOR: &str = "\n--------\n";

#[test]
fn a_scenario_and_a_seed_give_the_expected_plan() {
    let files = data_files("plans");
    assert!(!files.is_empty());

    for (path, scenario, expected) in files {
        let chosen = |key: &str| {
            let lines = scenario.lines();
            let values = lines.filter_map(|line| line.strip_prefix(&format!("# {key} = ")));
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let params = chosen("param").into_iter().map(|param| {
            let (name, value) = param.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let choice = Choice {
            profiles: chosen("profile"),
            params: params.collect(),
        };
        let seed = chosen("seed")[0].parse().unwrap();

        let parsed = Scenario::parse("plan.toml", &scenario, &choice);
        let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let told = match Plan::new(&parsed, seed) {
            Ok(plan) => told(&parsed, &plan),
            Err(error) => format!("no plan: {error}\n"),
        };

        assert_eq!(told, expected, "{}", path.display());
    }
}

#[test]
fn a_scenario_that_cannot_be_is_refused_with_file_line_and_key() {
    let files = data_files("refusals");
    assert!(!files.is_empty());

    for (path, scenario, expected) in files {
        let refused = Scenario::parse("refused.toml", &scenario, &Choice::default());
        let error = refused.expect_err(&path.display().to_string());

        assert_eq!(format!("{error}\n"), expected, "{}", path.display());
    }
}

#[test]
fn every_shipped_scenario_is_read_with_each_of_its_profiles_and_has_a_plan() {
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
            let choice = Choice {
                profiles,
                params: Vec::new(),
            };

            let scenario = Scenario::parse(&path.to_string_lossy(), &text, &choice);

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
fn a_file_with_another_name_is_refused() {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/gateway-kill.toml"),
    );

    let refused = Scenario::parse("gateway-kills.toml", &text.unwrap(), &Choice::default());

    assert_eq!(refused.unwrap_err().problem().key, "name");
}

#[test]
fn a_profile_or_parameter_that_does_not_exist_is_refused_with_the_nearest_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/gateway-kill.toml");
    let text = fs::read_to_string(path).unwrap();
    let profile = Choice {
        profiles: vec!["extendedd".to_owned()],
        params: Vec::new(),
    };
    let param = Choice {
        profiles: Vec::new(),
        params: vec![("client".to_owned(), "7".to_owned())],
    };

    let by_profile = Scenario::parse("gateway-kill.toml", &text, &profile);
    let by_param = Scenario::parse("gateway-kill.toml", &text, &param);

    assert_eq!(
        by_profile.unwrap_err().to_string(),
        "profile: there is no profile `extendedd`\nhelp: did you mean `extended`?"
    );
    assert_eq!(
        by_param.unwrap_err().to_string(),
        "params: there is no parameter `client`\nhelp: did you mean `clients`?"
    );
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

fn told(scenario: &Scenario, plan: &Plan) -> String {
    let mut told = String::new();
    let begins = |phase| scenario.run().begins(phase);
    let phases: Vec<String> = Phase::ALL
        .iter()
        .map(|phase| format!("{} {:?}", phase.name(), begins(*phase)))
        .collect();
    writeln!(told, "{}", phases.join(", ")).unwrap();
    let roster = plan.roster();
    for client in roster.clients() {
        let instance = roster.instance(client.instance).unwrap();
        let room = &roster.room(client.room).unwrap().name;
        let kind = client.kind.name();
        writeln!(told, "{} {kind} {instance} {room}", client.name).unwrap();
    }
    for fault in plan.faults() {
        let targets: Vec<String> = fault
            .targets
            .iter()
            .map(|id| roster.instance(*id).unwrap().to_string())
            .collect();
        writeln!(
            told,
            "{:?} {} {} {} {} until {:?}",
            fault.at,
            fault.step,
            fault.occurrence,
            fault.action.name(),
            targets.join(" "),
            fault.heal_at
        )
        .unwrap();
    }
    told
}
