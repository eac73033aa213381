//! Metrics in the text format of Prometheus. All of them are live: nothing is counted at the end of a connection only.

use std::fmt::Write as _;
use std::fs;

use super::Settings;
use crate::proxy::{Proxy, ProxyInfo};
use crate::set::ProxySet;
use crate::traffic::Counters;

/// The metrics that the settings enable.
pub(super) fn text(set: &ProxySet, settings: Settings) -> String {
    let mut text = String::new();
    if settings.proxy_metrics {
        proxies(&mut text, set);
    }
    if settings.runtime_metrics {
        runtime(&mut text, set);
    }
    text
}

/// A metric with one series per proxy.
struct PerProxy {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Counters) -> u64,
}

const PER_PROXY: [PerProxy; 4] = [
    PerProxy {
        name: "steadfast_proxy_connections_open",
        kind: "gauge",
        help: "Connections that are open now.",
        value: |counters| counters.open,
    },
    PerProxy {
        name: "steadfast_proxy_connections_accepted_total",
        kind: "counter",
        help: "Clients that were accepted.",
        value: |counters| counters.accepted,
    },
    PerProxy {
        name: "steadfast_proxy_connections_refused_total",
        kind: "counter",
        help: "Clients that were reset, because the proxy had as many connections as it may have.",
        value: |counters| counters.refused,
    },
    PerProxy {
        name: "steadfast_proxy_dials_failed_total",
        kind: "counter",
        help: "Connections whose upstream was not reached.",
        value: |counters| counters.dials_failed,
    },
];

/// Bytes per direction, under the names and labels of Toxiproxy.
struct PerDirection {
    name: &'static str,
    help: &'static str,
    /// To the server, then to the client.
    values: fn(&Counters) -> [u64; 2],
}

const PER_DIRECTION: [PerDirection; 2] = [
    PerDirection {
        name: "toxiproxy_proxy_received_bytes_total",
        help: "Bytes that were received: from the client for upstream, from the server for downstream.",
        values: |it| [it.to_server.received_bytes, it.to_client.received_bytes],
    },
    PerDirection {
        name: "toxiproxy_proxy_sent_bytes_total",
        help: "Bytes that were sent: to the server for upstream, to the client for downstream.",
        values: |it| [it.to_server.sent_bytes, it.to_client.sent_bytes],
    },
];

fn proxies(text: &mut String, set: &ProxySet) {
    let proxies = set.list();
    let proxies: Vec<(ProxyInfo, Counters)> = proxies
        .iter()
        .map(|proxy: &std::sync::Arc<Proxy>| (proxy.info(), proxy.counters()))
        .collect();
    for metric in PER_DIRECTION {
        heading(text, metric.name, "counter", metric.help);
        for (info, counters) in &proxies {
            let values = (metric.values)(counters);
            for (direction, value) in ["upstream", "downstream"].into_iter().zip(values) {
                line(
                    text,
                    &format!(
                        "{}{{direction=\"{direction}\",listener=\"{}\",proxy=\"{}\",upstream=\"{}\"}}",
                        metric.name,
                        escaped(&info.listen),
                        escaped(&info.name),
                        escaped(&info.upstream),
                    ),
                    value,
                );
            }
        }
    }
    for metric in PER_PROXY {
        heading(text, metric.name, metric.kind, metric.help);
        for (info, counters) in &proxies {
            let series = format!("{}{{proxy=\"{}\"}}", metric.name, escaped(&info.name));
            line(text, &series, (metric.value)(counters));
        }
    }
}

/// Figures of this process. One that the operating system does not give is left out.
fn runtime(text: &mut String, set: &ProxySet) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    };
    let files = fs::read_dir("/proc/self/fd").map(Iterator::count);
    let figures = [
        (
            "steadfast_process_resident_memory_bytes",
            "Resident memory of this process.",
            field("VmRSS:").map(|kilobytes| kilobytes * 1_024),
        ),
        (
            "steadfast_process_threads",
            "Threads of this process.",
            field("Threads:"),
        ),
        (
            "steadfast_process_open_fds",
            "Open file descriptors of this process.",
            files.ok().map(steadfast_machine::convert::to_u64),
        ),
        (
            "steadfast_process_uptime_seconds",
            "Time since the start of the proxies' clock.",
            Some(set.now().as_nanos() / 1_000_000_000),
        ),
    ];
    for (name, help, value) in figures {
        if let Some(value) = value {
            heading(text, name, "gauge", help);
            line(text, name, value);
        }
    }
}

fn heading(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, series: &str, value: u64) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{series} {value}");
}

/// The value of a label.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_line() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
