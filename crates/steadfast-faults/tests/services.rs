//! Services of scenarios: what a built-in consists of, and the samples of the reference.

#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests may panic, as tests may"
)]

use std::fs;
use std::path::Path;

use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::{
    DataDirectory, Port, ProbeKind, Program, RestartPolicy, Scenario, Service, StopSignal,
    WorkingDirectory,
};

/// What every scenario needs in addition to its services.
const REST: &str = r#"
[load.chat]
driver = "gateway-chat"
to = "gateway"

[run]
duration = "60s"

[[check]]
that = "delivery.lost == 0"
"#;

const GATEWAY: &str = "[service.gateway]\nuse = \"builtin:gateway\"\nreplicas = 2\n";

fn parse(services: &str) -> Scenario {
    let text = format!("schema = \"lab/1\"\nname = \"services\"\n{GATEWAY}{services}{REST}");
    Scenario::parse("services.toml", &text, &ScenarioOptions::default()).unwrap()
}

fn service<'a>(scenario: &'a Scenario, name: &str) -> &'a Service {
    let mut services = scenario.services().iter();
    services.find(|it| it.name == name).unwrap()
}

fn args(service: &Service) -> Vec<String> {
    service.args.iter().map(ToString::to_string).collect()
}

#[test]
fn a_program_of_the_scenario_says_how_it_prints_its_version() {
    let scenario = parse(
        "[service.own]\ncmd = \"own\"\nversion = \"-V\"\nready = { log = \"ready\" }\n\
         [service.silent]\ncmd = \"own\"\nready = { log = \"ready\" }\n",
    );

    assert_eq!(service(&scenario, "own").version.as_deref(), Some("-V"));
    assert_eq!(service(&scenario, "silent").version, None);
}

#[test]
fn a_load_balancer_is_configured_for_each_instance_of_its_service() {
    let scenario = parse(
        r#"
[service.lb]
use = "builtin:haproxy"
options = { to = "gateway", timeout_tunnel = "90s", balance = "leastconn", check = "200ms" }
"#,
    );
    let lb = service(&scenario, "lb");

    let (name, configuration) = &lb.files[0];
    let configuration = configuration.to_string();
    assert_eq!(name, "haproxy.cfg");
    for line in [
        "  timeout tunnel 90000ms",
        "  timeout client 60000ms",
        "  balance leastconn",
        "  option httpchk GET /readyz",
        "  server ${gateway:1.name} ${gateway:1.address}:${gateway:1.port.client} check inter 200ms fall 2 rise 1",
        "  server ${gateway:2.name} ${gateway:2.address}:${gateway:2.port.client} check inter 200ms fall 2 rise 1",
    ] {
        assert!(
            configuration.lines().any(|it| it == line),
            "{line}: {configuration}"
        );
    }
    assert_eq!(
        lb.url.as_ref().unwrap().to_string(),
        "ws://${self.address}:${self.port.client}/connection/websocket"
    );
}

#[test]
fn several_instances_of_a_store_are_one_cluster() {
    let scenario = parse(
        "[service.etcd]\nuse = \"builtin:etcd\"\nreplicas = 2\n[service.redis]\nuse = \"builtin:redis\"\n",
    );
    let etcd = args(service(&scenario, "etcd"));

    let members = "--initial-cluster=${etcd:1.name}=http://${etcd:1.address}:${etcd:1.port.peer},\
                   ${etcd:2.name}=http://${etcd:2.address}:${etcd:2.port.peer}";
    assert!(etcd.iter().any(|it| it == members), "{etcd:?}");
    let redis = service(&scenario, "redis");
    assert!(!args(redis).iter().any(|it| it == "--replicaof"));
    assert_eq!(redis.args_of_others[0].to_string(), "--replicaof");
}

#[test]
fn the_keys_of_a_scenario_replace_those_of_a_built_in() {
    let scenario = parse(
        r#"
[service.store]
use = "builtin:etcd"
cmd = "/opt/etcd"
args = ["--max-txn-ops", 7]
ports = { client = 2379 }
data = "keep"
ready = { grpc = "client", every = "20ms", timeout = "3s" }
restart = "after:1s"
stop = { signal = "INT" }
"#,
    );
    let store = service(&scenario, "store");

    let Program::Command { cmd, package } = &store.program else {
        panic!("{:?}", store.program);
    };
    assert_eq!(cmd.to_string(), "/opt/etcd");
    assert_eq!(package.unwrap().name, "etcd-server");
    let args = args(store);
    assert_eq!(args[0], "--name=${self.name}");
    assert_eq!(args[args.len() - 2..], ["--max-txn-ops", "7"]);
    let ports = [
        ("client".to_owned(), Port::Number(2379)),
        ("peer".to_owned(), Port::Auto),
    ];
    assert_eq!(store.ports, ports);
    assert_eq!(store.data, DataDirectory::Keep);
    assert!(matches!(store.ready.kind, ProbeKind::Grpc { .. }));
    assert_eq!(store.ready.every.as_millis(), 20);
    assert_eq!(store.ready.timeout.as_secs(), 3);
    assert!(store.leader.is_some(), "the built-in's");
    assert!(matches!(store.restart, RestartPolicy::After(time) if time.as_secs() == 1));
    assert_eq!(store.stop.signal, StopSignal::Int);
    assert!(store.stop.grace.is_zero(), "the built-in's");
}

#[test]
fn parameters_are_substituted_and_placeholders_remain() {
    let scenario = parse(
        r#"
[service.own]
cmd = "${program}"
args = ["${size}", "x${self.port.client}", "${gateway:2.address}-${size}"]
ports = { client = "auto" }
[params]
program = "python3"
size = 5
"#,
    );
    let own = service(&scenario, "own");

    assert_eq!(
        args(own),
        ["5", "x${self.port.client}", "${gateway:2.address}-5"]
    );
    assert_eq!(own.directory, WorkingDirectory::Lab);
    assert!(matches!(&own.ready.kind, ProbeKind::Tcp { port, exchange: None } if port == "client"));
}

#[test]
fn the_samples_of_the_reference_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/scenario.md");
    let text = fs::read_to_string(path).unwrap();
    let samples: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|it| it.split("```").next().unwrap())
        .collect();
    assert!(!samples.is_empty());

    let scenario = parse(&samples.concat());

    assert_eq!(service(&scenario, "etcd").replicas, 3);
    let steps: Vec<&str> = scenario.steps().iter().map(|it| it.id.as_str()).collect();
    assert_eq!(steps, ["kill", "rolling"]);
    let crowd = scenario.loads().iter().find(|it| it.name == "crowd");
    assert_eq!(crowd.unwrap().clients, 16, "a parameter of the sample");
}
