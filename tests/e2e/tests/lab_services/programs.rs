//! The built-in services with the programs that Debian packages, and every probe.

use steadfast_e2e::lab_run::LabRun;

use crate::{has_programs, run};

#[test]
fn every_built_in_becomes_ready_and_the_leader_is_killed() {
    if !has_programs(&["etcd", "nats-server", "redis-server", "haproxy"]) {
        return;
    }
    let outcome = run(
        "programs",
        r#"
[service.etcd]
use = "builtin:etcd"
replicas = 3

[service.nats]
use = "builtin:nats"
replicas = 3

[service.redis]
use = "builtin:redis"
replicas = 2

[service.lb]
use = "builtin:haproxy"
options = { to = "gateway", timeout_tunnel = "5s" }

# The health of etcd, by its gRPC service.
[service.other]
use = "builtin:etcd"
ready = { grpc = "client" }

[[step]]
id = "etcd"
at = "300ms"
do = "proc.kill"
on = "etcd:leader"
then = { start_after = "1s" }

[[step]]
id = "redis"
at = "300ms"
do = "proc.kill"
on = "redis:leader"
then = { start_after = "1s" }

[[step]]
id = "follower"
at = "300ms"
do = "proc.pause"
on = "nats:follower"
for = "1500ms"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
    let targets = outcome.targets();
    let of = |step: &str| targets.iter().find(|(it, _)| it == step).unwrap().1.clone();
    let killed = of("etcd");
    assert_eq!(killed.len(), 1, "{targets:?}");
    assert_eq!(killed.first(), elected(&outcome).as_ref(), "not the leader");
    assert_eq!(of("redis"), ["redis:1"], "the others are its replicas");
    assert_eq!(of("follower").len(), 1);
    let versions = outcome.programs();
    for (service, version) in [
        ("etcd", "etcd Version: 3.4"),
        ("nats", "nats-server: v2.9"),
        ("redis", "Redis server v=7.0"),
        ("lb", "HAProxy version 2.6"),
    ] {
        let has = |it: &&(String, String)| it.0 == service && it.1.starts_with(version);
        assert!(
            versions.iter().any(|it| has(&it)),
            "{service}: {versions:?}"
        );
    }
}

/// The instance of etcd whose own log says that it was elected first.
fn elected(outcome: &LabRun) -> Option<String> {
    let elections = (1..=3).filter_map(|number| {
        let log = outcome.log(&format!("etcd-{number}")).ok()?;
        let line = log
            .lines()
            .find(|line| line.contains("became leader at term"))?;
        let at = line.trim_start().split(' ').next()?;
        // Padded, times have the order of texts.
        Some((format!("{at:>13}"), format!("etcd:{number}")))
    });
    elections.min().map(|(_, instance)| instance)
}

#[test]
fn a_program_of_its_own_is_asked_by_tcp_http_and_a_program() {
    let server = "import http.server, os, sys\n\
                  class Handler(http.server.BaseHTTPRequestHandler):\n \
                  def do_GET(self):\n  self.send_response(200); self.end_headers(); self.wfile.write(b'state: ' + os.environ['STATE'].encode())\n\
                  print(open(sys.argv[2]).read(), flush=True)\n\
                  http.server.HTTPServer((sys.argv[3], int(sys.argv[1])), Handler).serve_forever()\n";
    let tables = format!(
        r#"
[service.tcp]
cmd = "python3"
args = ["${{self.folder}}/server.py", "${{self.port.client}}", "${{self.folder}}/own.conf", "${{self.address}}"]
env = {{ STATE = "well" }}
files = {{ "server.py" = {server:?}, "own.conf" = "instance ${{self.number}} of ${{self.name}}, data in ${{self.data}}" }}
ports = {{ client = "auto" }}
replicas = 2

[service.http]
cmd = "python3"
args = ["${{tcp.folder}}/server.py", "${{self.port.client}}", "${{tcp:2.folder}}/own.conf", "${{self.address}}"]
env = {{ STATE = "${{tcp.endpoints.client}}" }}
ports = {{ client = "auto" }}
ready = {{ http = "/", body = "state: 127.0.0.1:" }}

[service.exec]
cmd = "sh"
args = ["-c", "sleep 0.3; touch ${{self.data}}/done; exec sleep 600"]
ready = {{ exec = ["test", "-e", "${{self.data}}/done"], every = "20ms" }}
restart = "after:100ms"
"#
    );

    let outcome = run("own", &tables).unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
    let log = outcome.log("http-1").unwrap();
    assert!(log.contains("instance 2 of tcp-2, data in /"), "{log}");
    assert!(log.contains("/run/tcp-2/data\n"), "{log}");
}
