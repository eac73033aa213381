//! `[service.X]`: the processes of a scenario.

use std::time::Duration;

use crate::scenario::template::Template;

/// `[service.X]`: one kind of process. Each instance has its own channels, its own ports and its own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The X of `[service.X]`.
    pub name: String,
    /// The program that is started.
    pub program: Program,
    /// What the program gets on its command line.
    pub args: Vec<Template>,
    /// Further arguments of every instance but the first.
    pub args_of_others: Vec<Template>,
    /// Environment variables that are added to those of the lab.
    pub env: Vec<(String, Template)>,
    /// Files that are written into the directory of each instance before it is started the first time: name and text.
    pub files: Vec<(String, Template)>,
    /// The directory in which the program is started.
    pub directory: WorkingDirectory,
    /// The number of instances, which are numbered from 1.
    pub replicas: u32,
    /// The ports by name, in the order of names.
    pub ports: Vec<(String, Port)>,
    /// What the data directory contains when the run starts.
    pub data: DataDirectory,
    /// When an instance is ready.
    pub ready: Probe,
    /// Succeeds on the instance that is the leader; without it, selectors by role are not possible.
    pub leader: Option<Probe>,
    /// What follows an exit that no fault caused.
    pub restart: RestartPolicy,
    /// How an instance is terminated.
    pub stop: StopPolicy,
    /// The network that the instances are in.
    pub network: Network,
    /// The file in which an instance logs its effects, one JSON object per line.
    pub effects: Option<Template>,
    /// How clients reach an instance.
    pub url: Option<Template>,
    /// The service to which it forwards the connections of its clients, as a load balancer does.
    pub forwards_to: Option<String>,
    /// The argument with which the program prints its version on the first line, if it differs from that of the built-in.
    pub version: Option<String>,
}

/// The program of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// `steadfast serve`, or the program that the operator runs in its place.
    Gateway,
    /// The program of this project itself.
    Steadfast,
    /// A program of the machine: a path, or a name in the search path.
    Command {
        /// The path or the name.
        cmd: Template,
        /// What is known of it, if it is built in.
        package: Option<Package>,
    },
}

/// A program that Debian packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The name of the package.
    pub name: &'static str,
    /// The argument that prints its version on the first line.
    pub version: &'static str,
}

/// The directory in which a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkingDirectory {
    /// That of the lab, so that relative paths of a scenario's own program work as in a shell.
    Lab,
    /// That of the instance.
    Instance,
}

/// A port of each instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A free port that the lab chooses.
    Auto,
    /// This port for the first instance, and the next ones for the others.
    Number(u16),
}

/// What a data directory contains when the run starts. A restart within a run always keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataDirectory {
    /// Nothing at all.
    Fresh,
    /// What the control run left. The first run of a scenario begins with nothing.
    Keep,
}

/// What follows an exit that no fault caused. The exit is reported in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// The instance stays down.
    Never,
    /// It is started again after this time.
    After(Duration),
}

/// How an instance is terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// The signal that requests it, of `proc.term` and at the end of the run.
    pub signal: StopSignal,
    /// The time after which the instance is killed at the end of the run; zero: it is killed without the signal.
    pub grace: Duration,
}

/// A signal that requests an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// What `kill` sends, and systemd.
    Term,
    /// What a terminal sends for Ctrl-C.
    Int,
    /// What a terminal sends for Ctrl-\\; a graceful shutdown of nginx.
    Quit,
    /// What is sent when a terminal is closed.
    Hup,
    /// As the program defines it; a soft stop of `HAProxy`.
    Usr1,
    /// As the program defines it; the second of the two.
    Usr2,
}

/// The network that the instances of a service are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// That of the machine.
    Host,
    /// A network namespace for each instance.
    Own,
}

/// A question to an instance with two results: it succeeds or it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// The time between the end of one attempt and the next.
    pub every: Duration,
    /// The longest time of one attempt.
    pub timeout: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A GET request returns 200, and the body contains a text.
    Http {
        /// The name of the port.
        port: String,
        /// The path with its query.
        path: Template,
        /// The text that the body must contain.
        body: Option<Template>,
    },
    /// A connection is accepted; with an exchange, the reply contains a text.
    Tcp {
        /// The name of the port.
        port: String,
        /// What is sent and what must be received.
        exchange: Option<Exchange>,
    },
    /// `grpc.health.v1.Health/Check` returns SERVING.
    Grpc {
        /// The name of the port.
        port: String,
        /// The name of the gRPC service; empty for the whole server.
        service: String,
    },
    /// A line of the output since the last start contains a text.
    Log {
        /// What the line contains.
        text: Template,
    },
    /// A program exits with code 0.
    Exec {
        /// The program and its arguments.
        command: Vec<Template>,
    },
}

/// Bytes to send and the text that the reply must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What is sent.
    pub send: Template,
    /// What the reply must contain.
    pub expect: Template,
}

impl Service {
    /// Every text with placeholders, with the key that it is under.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let cmd = match &self.program {
            Program::Gateway | Program::Steadfast => None,
            Program::Command { cmd, .. } => Some(("cmd", cmd)),
        };
        let args = self.args.iter().map(|it| ("args", it));
        let others = self.args_of_others.iter().map(|it| ("args", it));
        let env = self.env.iter().map(|(_, it)| ("env", it));
        let files = self.files.iter().map(|(_, it)| ("files", it));
        let ready = self.ready.templates().map(|it| ("ready", it));
        let leader = self.leader.iter().flat_map(Probe::templates);
        let effects = self.effects.iter().map(|it| ("effects", it));
        let url = self.url.iter().map(|it| ("url", it));
        cmd.into_iter()
            .chain(args)
            .chain(others)
            .chain(env)
            .chain(files)
            .chain(ready)
            .chain(leader.map(|it| ("leader", it)))
            .chain(effects)
            .chain(url)
    }

    /// Whether it has a port of this name.
    pub fn has_port(&self, name: &str) -> bool {
        self.ports.iter().any(|(port, _)| port == name)
    }

    /// The names of its ports.
    pub fn port_names(&self) -> Vec<&str> {
        self.ports.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Probe {
    /// Every text with placeholders.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let texts: Vec<&Template> = match &self.kind {
            ProbeKind::Http { path, body, .. } => std::iter::once(path).chain(body).collect(),
            ProbeKind::Tcp { exchange, .. } => exchange
                .iter()
                .flat_map(|it| [&it.send, &it.expect])
                .collect(),
            ProbeKind::Grpc { .. } => Vec::new(),
            ProbeKind::Log { text } => vec![text],
            ProbeKind::Exec { command } => command.iter().collect(),
        };
        texts.into_iter()
    }

    /// The name of the port that it uses, if it uses one.
    pub fn port(&self) -> Option<&str> {
        match &self.kind {
            ProbeKind::Http { port, .. }
            | ProbeKind::Tcp { port, .. }
            | ProbeKind::Grpc { port, .. } => Some(port),
            ProbeKind::Log { .. } | ProbeKind::Exec { .. } => None,
        }
    }
}

impl StopSignal {
    /// All signals, by the names of scenarios.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("TERM", Self::Term),
        ("INT", Self::Int),
        ("QUIT", Self::Quit),
        ("HUP", Self::Hup),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
    ];
}
