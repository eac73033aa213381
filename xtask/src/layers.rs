//! The layers: which of our crates may depend on which, and what else pure crates may use.
//!
//! `ARCHITECTURE.md` explains the lists; a new dependency changes both in one commit.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::tools::say;
use crate::tree::root;

/// Pure crates: no I/O, no clock, no threads.
pub(crate) const PURE: &[&str] = &[
    "steadfast-machine",
    "steadfast-protocol",
    "steadfast-toml",
    "steadfast-engine",
    "steadfast-core",
    "steadfast-hub",
    "steadfast-log",
    "steadfast-faults",
    "steadfast-sim",
];

/// Shells: they read the clocks, move bytes and execute outputs, on tokio.
pub(crate) const SHELLS: &[&str] = &[
    "steadfast-clock",
    "steadfast",
    "steadfast-gateway",
    "steadfast-proxy",
    "steadfast-truenas-emulator",
    "steadfast-bridge",
    "steadfast-lab",
];

/// Each of our crates, and which of them it may use.
const EDGES: &[(&str, &[&str])] = &[
    ("steadfast-machine", &[]),
    ("steadfast-protocol", &["steadfast-machine"]),
    ("steadfast-toml", &[]),
    (
        "steadfast-engine",
        &["steadfast-machine", "steadfast-protocol"],
    ),
    (
        "steadfast-core",
        &["steadfast-machine", "steadfast-protocol"],
    ),
    (
        "steadfast-hub",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-engine",
        ],
    ),
    (
        "steadfast-log",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-engine",
        ],
    ),
    (
        "steadfast-faults",
        &["steadfast-machine", "steadfast-protocol", "steadfast-toml"],
    ),
    (
        "steadfast-sim",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-engine",
            "steadfast-core",
            "steadfast-hub",
            "steadfast-log",
            "steadfast-faults",
        ],
    ),
    ("steadfast-clock", &["steadfast-machine"]),
    (
        "steadfast",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-core",
            "steadfast-clock",
            // Its tests need a server with the API that it is a client of.
            "steadfast-truenas-emulator",
        ],
    ),
    (
        "steadfast-gateway",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-toml",
            "steadfast-engine",
            "steadfast-hub",
            "steadfast-log",
            "steadfast-clock",
        ],
    ),
    (
        "steadfast-proxy",
        &[
            "steadfast-machine",
            "steadfast-toml",
            "steadfast-faults",
            "steadfast-clock",
        ],
    ),
    (
        "steadfast-truenas-emulator",
        &["steadfast-machine", "steadfast-protocol", "steadfast-clock"],
    ),
    (
        "steadfast-bridge",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-clock",
            "steadfast",
            // Its tests only.
            "steadfast-truenas-emulator",
        ],
    ),
    (
        "steadfast-lab",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-faults",
            "steadfast-clock",
            "steadfast-proxy",
        ],
    ),
    (
        "steadfast-cli",
        &[
            "steadfast-machine",
            "steadfast-protocol",
            "steadfast-toml",
            "steadfast-engine",
            "steadfast-core",
            "steadfast-hub",
            "steadfast-log",
            "steadfast-faults",
            "steadfast-sim",
            "steadfast-clock",
            "steadfast",
            "steadfast-gateway",
            "steadfast-proxy",
            "steadfast-truenas-emulator",
            "steadfast-bridge",
            "steadfast-lab",
        ],
    ),
    ("xtask", &[]),
];

/// External crates for pure crates: shared bytes, error enums, text and numbers, small data structures,
/// checksums and header parsing; nothing that reaches a socket, a file, a clock or a thread.
const PURE_MAY_USE: &[&str] = &[
    "annotate-snippets",
    "base64",
    "bytes",
    "hmac",
    "httparse",
    "indexmap",
    "itoa",
    "memchr",
    "pbkdf2",
    "serde",
    "serde_json",
    "sha1",
    "sha2",
    "simdutf8",
    "slab",
    "smallvec",
    "strsim",
    "thiserror",
    "toml",
    "twox-hash",
];

/// What one crate depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    /// Only its tests need it.
    for_tests: bool,
}

/// Prints every dependency that is not in the lists.
///
/// # Errors
///
/// When there is one, or when cargo cannot read the workspace.
pub(crate) fn run() -> Result<()> {
    let edges = edges()?;
    let violations = violations(&edges);
    for violation in &violations {
        say(violation);
    }
    if violations.is_empty() {
        say(&format!(
            "layers: {} dependencies, all permitted",
            edges.len()
        ));
        return Ok(());
    }
    bail!(
        "layers: {} dependencies are not permitted",
        violations.len()
    )
}

fn edges() -> Result<Vec<Edge>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo cannot read the workspace")?;
    let mut edges = Vec::new();
    for package in &metadata.packages {
        // Tests and benches may use everything: they are not part of the product.
        let in_product = package.name.starts_with("steadfast")
            && !is_under_tests(package.manifest_path.as_str());
        if !in_product && package.name != "xtask" {
            continue;
        }
        // A crate whose tests need its own features depends on itself.
        let others = |it: &&cargo_metadata::Dependency| it.name != package.name.as_str();
        for dependency in package.dependencies.iter().filter(others) {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                for_tests: dependency.kind == DependencyKind::Development,
            });
        }
    }
    Ok(edges)
}

fn is_under_tests(manifest: &str) -> bool {
    manifest
        .strip_prefix(&*root().to_string_lossy())
        .unwrap_or(manifest)
        .starts_with("/tests/")
}

fn violations(edges: &[Edge]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut violations = Vec::new();
    for edge in edges {
        let Some(targets) = allowed.get(edge.from.as_str()) else {
            violations.push(format!("{}: belongs to no layer", edge.from));
            continue;
        };
        let ours = allowed.contains_key(edge.to.as_str()) || edge.to.starts_with("steadfast");
        if ours && !targets.contains(&edge.to.as_str()) {
            violations.push(format!("{} must not depend on {}", edge.from, edge.to));
        }
        let pure = PURE.contains(&edge.from.as_str());
        if pure && !ours && !edge.for_tests && !PURE_MAY_USE.contains(&edge.to.as_str()) {
            violations.push(format!(
                "{} is pure and must not use {}",
                edge.from, edge.to
            ));
        }
    }
    violations.dedup();
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_edges_are_in_the_lists() {
        let edges = edges().unwrap();

        let violations = violations(&edges);

        assert!(
            edges
                .iter()
                .any(|edge| edge.from == "steadfast-hub" && edge.to == "bytes"),
            "the edges were read"
        );
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }

    #[test]
    fn an_edge_upwards_is_found() {
        let found = violations(&[
            edge("steadfast-hub", "steadfast-machine"),
            edge("steadfast-hub", "steadfast-gateway"),
        ]);

        assert_eq!(
            found,
            ["steadfast-hub must not depend on steadfast-gateway"]
        );
    }

    #[test]
    fn an_edge_between_hub_and_log_is_found() {
        let found = violations(&[
            edge("steadfast-hub", "steadfast-engine"),
            edge("steadfast-hub", "steadfast-log"),
            edge("steadfast-log", "steadfast-engine"),
            edge("steadfast-log", "steadfast-hub"),
        ]);

        assert_eq!(
            found,
            [
                "steadfast-hub must not depend on steadfast-log",
                "steadfast-log must not depend on steadfast-hub",
            ]
        );
    }

    #[test]
    fn io_in_a_pure_crate_is_found_and_its_tests_may_use_anything() {
        let for_tests = Edge {
            for_tests: true,
            ..edge("steadfast-protocol", "proptest")
        };

        let found = violations(&[
            edge("steadfast-hub", "tokio"),
            edge("steadfast-gateway", "tokio"),
            for_tests,
        ]);

        assert_eq!(found, ["steadfast-hub is pure and must not use tokio"]);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        let found = violations(&[edge("steadfast-extra", "bytes")]);

        assert_eq!(found, ["steadfast-extra: belongs to no layer"]);
    }

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            for_tests: false,
        }
    }
}
