//! The features of the client library and of the proxy: each builds alone, and without them its core has no wire format.
//!
//! In the workspace all features are enabled together, so that nothing else would notice.

use anyhow::{Context, Result, bail};

use crate::tools::{command, output, say};

/// The crates with features, each with those that must build alone, and the empty set.
const ALONE: [(&str, &[&str]); 3] = [
    ("steadfast-core", &["", "centrifuge", "jsonrpc", "truenas"]),
    (
        "steadfast",
        &[
            "",
            "centrifuge",
            "jsonrpc",
            "tls",
            "tower",
            "truenas",
            "websocket",
        ],
    ),
    ("steadfast-proxy", &["", "api"]),
];

/// What the core without features must not depend on: it can be used for protocols that need neither.
const NOT_IN_CORE: [&str; 2] = ["steadfast-protocol", "serde_json"];

/// Builds each feature alone, and looks for dependencies of the core that belong to a feature.
///
/// # Errors
///
/// When one does not build or gives a warning, or when the core has such a dependency.
pub(crate) fn run() -> Result<()> {
    for (package, features) in ALONE {
        for feature in features {
            check(package, feature)?;
        }
    }
    let dependencies = dependencies_of_core()?;
    let unwanted = unwanted(&dependencies);
    if !unwanted.is_empty() {
        bail!(
            "steadfast-core without features depends on {}",
            unwanted.join(", ")
        );
    }
    say("features: each builds alone");
    Ok(())
}

fn check(package: &str, feature: &str) -> Result<()> {
    let checked = command("cargo")
        .args(["check", "--quiet", "--no-default-features"])
        .args(["--package", package, "--features", feature])
        .output()
        .context("failed to start cargo")?;
    // Quiet as it is, cargo prints warnings only.
    let warnings = String::from_utf8_lossy(&checked.stderr);
    if checked.status.success() && warnings.trim().is_empty() {
        return Ok(());
    }
    bail!("{package} with the features `{feature}` alone:\n{warnings}")
}

/// The normal dependencies of the core without features, one per line, each with its version.
fn dependencies_of_core() -> Result<String> {
    let arguments = [
        "tree",
        "--package",
        "steadfast-core",
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
    ];
    output("cargo", &arguments)
}

fn unwanted(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| NOT_IN_CORE.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_without_features_has_no_wire_format() {
        let tree = dependencies_of_core().unwrap();

        assert!(tree.contains("bytes v"), "the tree was read: {tree}");
        assert!(unwanted(&tree).is_empty(), "{tree}");
    }

    #[test]
    fn an_unwanted_dependency_is_found() {
        let tree = "steadfast-core v0.1.0 (/x)\nserde_json v1.0.1\nbytes v1.0.0\n";

        assert_eq!(unwanted(tree), ["serde_json"]);
    }
}
