//! The command line of `steadfast proxy`: the server, and the commands that call its HTTP API.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use steadfast_proxy::api::TOXIPROXY_VERSION;

use super::values;

/// The examples of every command of `proxy`, so that each `--help` shows a complete session.
const EXAMPLES: &str = "\
Examples:
  steadfast proxy serve                            run the server on http://localhost:8474
  steadfast proxy serve --config proxies.json      create the proxies of a file first
  steadfast proxy create redis --listen 127.0.0.1:26379 --upstream 127.0.0.1:6379
                                                   forward a port
  steadfast proxy toxic add redis --type latency --attribute latency=1000
                                                   delay what the upstream sends by 1 s
  steadfast proxy toxic update redis --toxicName latency_downstream --attribute jitter=100
                                                   change one attribute; the others stay
  steadfast proxy inspect redis                    print the toxics
  steadfast proxy toxic remove redis --toxicName latency_downstream
                                                   remove a toxic
  steadfast proxy toggle redis                     close the port and all connections, or open it
  steadfast proxy list                             print all proxies
  steadfast proxy delete redis                     remove a proxy

The commands other than `serve` call the server at --host. All toxics with their attributes are
listed in docs/reference/proxy.md.

Environment:
  TOXIPROXY_URL   same as --host of the commands other than `serve`

Exit codes:
  0  success
  1  the server cannot be reached, or has rejected the request
  2  invalid arguments or configuration
  3  port in use (serve)";

/// The default URL of the HTTP API.
pub(crate) const URL_DEFAULT: &str = "http://localhost:8474";

/// The arguments of `proxy`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Proxy {
    #[command(subcommand)]
    pub(crate) command: ProxyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Run the proxy server: an HTTP API that creates proxies and injects faults into their connections
    #[command(after_help = EXAMPLES)]
    Serve(ProxyServe),
    /// Print all proxies
    #[command(visible_aliases = ["l", "li", "ls"], after_help = EXAMPLES)]
    List(Api),
    /// Print the toxics of a proxy
    #[command(visible_aliases = ["i", "ins"], after_help = EXAMPLES)]
    Inspect(NamedProxy),
    /// Create a proxy
    #[command(visible_aliases = ["c", "new"], after_help = EXAMPLES)]
    Create(ProxyCreate),
    /// Disable a proxy, which closes its port and its connections, or enable it
    #[command(visible_alias = "tog", after_help = EXAMPLES)]
    Toggle(NamedProxy),
    /// Remove a proxy, which closes its port and its connections
    #[command(visible_alias = "d", after_help = EXAMPLES)]
    Delete(NamedProxy),
    /// Add, update or remove a toxic: a fault of the connections of a proxy
    #[command(visible_alias = "t", subcommand, after_help = EXAMPLES)]
    Toxic(ToxicCommand),
}

/// The arguments of `proxy serve`.
#[derive(Args, Debug)]
pub(crate) struct ProxyServe {
    /// Host name or IP address of the HTTP API
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    pub(crate) host: String,
    /// Port of the HTTP API; 0 selects a free port
    #[arg(long, default_value_t = 8474, value_parser = values::port)]
    pub(crate) port: u16,
    /// Proxies to create at the start: a JSON array as in POST /populate
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Seed of all random choices, such as the victims of a toxic [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Serve GET /metrics with figures of this process
    #[arg(long)]
    pub(crate) runtime_metrics: bool,
    /// Serve GET /metrics with the bytes of each proxy
    #[arg(long)]
    pub(crate) proxy_metrics: bool,
    /// Print the address and the seed as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the HTTP API is.
#[derive(Args, Debug)]
pub(crate) struct Api {
    /// URL of the HTTP API [default: port 8474 of localhost]
    #[arg(long, value_name = "URL")]
    pub(crate) host: Option<String>,
}

/// A proxy by its name.
#[derive(Args, Debug)]
pub(crate) struct NamedProxy {
    /// Name of the proxy
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// The arguments of `proxy create`.
#[derive(Args, Debug)]
pub(crate) struct ProxyCreate {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, short, value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Address to forward to
    #[arg(long, short, value_name = "HOST:PORT")]
    pub(crate) upstream: String,
    #[command(flatten)]
    pub(crate) proxy: NamedProxy,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToxicCommand {
    /// Add a toxic to a proxy
    #[command(visible_alias = "a", after_help = EXAMPLES)]
    Add(ToxicAdd),
    /// Change the toxicity or attributes of a toxic; what is not given stays
    #[command(visible_alias = "u", after_help = EXAMPLES)]
    Update(ToxicUpdate),
    /// Remove a toxic from a proxy
    #[command(visible_aliases = ["r", "delete", "d"], after_help = EXAMPLES)]
    Remove(ToxicRemove),
}

/// The arguments of `proxy toxic add`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("stream").args(["upstream", "downstream"]))]
pub(crate) struct ToxicAdd {
    /// Type of the toxic, for example latency
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub(crate) kind: String,
    /// Name of the toxic [default: its type and its stream]
    #[arg(
        long = "toxicName",
        visible_alias = "name",
        short = 'n',
        value_name = "NAME"
    )]
    pub(crate) toxic: Option<String>,
    #[command(flatten)]
    pub(crate) values: ToxicValues,
    /// Apply it to what the client sends
    #[arg(long, short)]
    pub(crate) upstream: bool,
    /// Apply it to what the upstream sends, which is the default
    #[arg(long, short)]
    pub(crate) downstream: bool,
    #[command(flatten)]
    pub(crate) proxy: NamedProxy,
}

/// The arguments of `proxy toxic update`.
#[derive(Args, Debug)]
pub(crate) struct ToxicUpdate {
    #[command(flatten)]
    pub(crate) toxic: NamedToxic,
    #[command(flatten)]
    pub(crate) values: ToxicValues,
    #[command(flatten)]
    pub(crate) proxy: NamedProxy,
}

/// The arguments of `proxy toxic remove`.
#[derive(Args, Debug)]
pub(crate) struct ToxicRemove {
    #[command(flatten)]
    pub(crate) toxic: NamedToxic,
    #[command(flatten)]
    pub(crate) proxy: NamedProxy,
}

/// The toxic of a command that changes one.
#[derive(Args, Debug)]
pub(crate) struct NamedToxic {
    /// Name of the toxic
    #[arg(
        id = "toxic_name",
        long = "toxicName",
        visible_alias = "name",
        short = 'n',
        value_name = "NAME"
    )]
    pub(crate) name: String,
}

/// What can be set when a toxic is added and changed later.
#[derive(Args, Debug)]
pub(crate) struct ToxicValues {
    /// Share of the connections that the toxic applies to, from 0 to 1
    #[arg(long, visible_alias = "tox", value_name = "SHARE", value_parser = toxicity)]
    pub(crate) toxicity: Option<f32>,
    /// Attribute of the toxic; can be repeated
    #[arg(long = "attribute", short, value_name = "KEY=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, String)>,
}

fn toxicity(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("must be a number from 0 to 1, for example 0.5".to_owned()),
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE, for example latency=100".to_owned()),
    }
}

/// The options that Toxiproxy's programs accept with one dash, with the form that clap parses.
const ONE_DASH: [(&str, &str); 8] = [
    ("-host", "--host"),
    ("-port", "--port"),
    ("-config", "--config"),
    ("-seed", "--seed"),
    ("-runtime-metrics", "--runtime-metrics"),
    ("-proxy-metrics", "--proxy-metrics"),
    ("-toxicName", "--toxicName"),
    ("-tox", "--toxicity"),
];

/// The names of Toxiproxy's programs: started under one of them, this program behaves as it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Any other name.
    Steadfast,
    /// `toxiproxy-server`, which is `proxy serve`.
    ToxiproxyServer,
    /// `toxiproxy-cli`, which is `proxy`; `-h` is the URL and every failure has the exit code 1.
    ToxiproxyCli,
}

impl Program {
    /// Recognizes the name under which the program was started.
    pub(crate) fn of(name: Option<&OsStr>) -> Self {
        let path = name.map(std::path::Path::new);
        match path.and_then(|path| path.file_name()?.to_str()) {
            Some("toxiproxy-server") => Self::ToxiproxyServer,
            Some("toxiproxy-cli") => Self::ToxiproxyCli,
            Some(_) | None => Self::Steadfast,
        }
    }

    /// Returns what `-version` prints; `None` if this is no program of Toxiproxy, or the version is not requested.
    pub(super) fn version(self, words: &[OsString]) -> Option<String> {
        let name = match self {
            Self::Steadfast => return None,
            Self::ToxiproxyServer => "toxiproxy-server",
            Self::ToxiproxyCli => "toxiproxy-cli",
        };
        let is_requested = words
            .iter()
            .any(|word| word == "-version" || word == "--version");
        is_requested.then(|| format!("{name} version {TOXIPROXY_VERSION}\n"))
    }

    /// Returns the command line of `steadfast` that does the same.
    pub(super) fn translate(self, mut arguments: Vec<OsString>) -> Vec<OsString> {
        let mut words = arguments.split_off(arguments.len().min(1));
        let is_proxy = words.first().is_some_and(|word| word == "proxy");
        match self {
            Self::Steadfast if !is_proxy => {
                arguments.append(&mut words);
                return arguments;
            }
            Self::Steadfast => {}
            Self::ToxiproxyServer => arguments.extend(["proxy", "serve"].map(OsString::from)),
            Self::ToxiproxyCli => arguments.push("proxy".into()),
        }
        let words: Vec<OsString> = words
            .into_iter()
            .map(|word| self.two_dashes(word))
            .collect();
        match self {
            Self::Steadfast | Self::ToxiproxyServer => arguments.extend(words),
            Self::ToxiproxyCli => arguments.extend(host_last(words)),
        }
        arguments
    }

    fn two_dashes(self, word: OsString) -> OsString {
        let Some(text) = word.to_str() else {
            return word;
        };
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        let known = ONE_DASH.iter().find(|(one, _)| *one == name);
        let long = match known {
            Some((_, long)) => long,
            None if name == "-h" && self == Self::ToxiproxyCli => "--host",
            None => return word,
        };
        value.map_or_else(|| long.into(), |value| format!("{long}={value}").into())
    }
}

/// Moves `--host URL` from before the command, where `toxiproxy-cli` expects it, to the end.
fn host_last(words: Vec<OsString>) -> Vec<OsString> {
    let mut words = words.into_iter().peekable();
    let mut host = Vec::new();
    while let Some(word) = words.next_if(|word| word.to_string_lossy().starts_with("--host")) {
        let has_value = word.to_string_lossy().contains('=');
        host = vec![word];
        if !has_value {
            host.extend(words.next());
        }
    }
    words.chain(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let program = Program::of(words.first().map(OsString::as_os_str));
        let words: Vec<String> = program
            .translate(words)
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_programs_of_toxiproxy_are_commands_of_this_one() {
        for (line, expected) in [
            (
                "/usr/bin/toxiproxy-server -host 0.0.0.0 --port=1 -config=a.json",
                "/usr/bin/toxiproxy-server proxy serve --host 0.0.0.0 --port=1 --config=a.json",
            ),
            ("toxiproxy-server", "toxiproxy-server proxy serve"),
            (
                "toxiproxy-cli -h http://a:1 toxic add -t latency -tox 0.5 p",
                "toxiproxy-cli proxy toxic add -t latency --toxicity 0.5 p --host http://a:1",
            ),
            (
                "toxiproxy-cli --host=http://a:1 ls",
                "toxiproxy-cli proxy ls --host=http://a:1",
            ),
            (
                "steadfast proxy serve -seed 7",
                "steadfast proxy serve --seed 7",
            ),
            ("steadfast proxy list -h", "steadfast proxy list -h"),
            ("steadfast sim -seed 7", "steadfast sim -seed 7"),
        ] {
            assert_eq!(translated(line), expected);
        }
    }

    #[test]
    fn a_toxicity_is_a_share_and_an_attribute_has_a_key() {
        assert_eq!(toxicity("0.5"), Ok(0.5));
        for text in ["1.5", "-1", "NaN", "half"] {
            assert!(toxicity(text).is_err(), "{text}");
        }
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(attribute("=1").is_err() && attribute("latency").is_err());
    }
}
