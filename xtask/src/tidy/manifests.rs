//! Checks of manifests, lint settings and lock files.

use super::Finding;
use crate::layers;
use crate::tree::Tree;

/// The only index from which Rust packages may come.
const RUST_INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The only registry from which npm packages may come.
const NPM_REGISTRY: &str = "https://registry.npmjs.org/";

/// The crates that are published: the client library and what it depends on.
pub(crate) const PUBLISHED: [&str; 8] = [
    "steadfast",
    "steadfast-clock",
    "steadfast-core",
    "steadfast-faults",
    "steadfast-machine",
    "steadfast-protocol",
    "steadfast-proxy",
    "steadfast-toml",
];

/// By what a registry finds a crate, and what it shows.
const PUBLISHED_KEYS: [&str; 3] = ["description", "keywords", "categories"];

/// The texts that both licences require in every copy.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// A published crate has what a registry shows and the texts of its licences. Whether it can be packaged is checked by
/// the step `package`.
pub(crate) fn published(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in PUBLISHED {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(text) = tree.text(&path) else {
            continue;
        };
        let has = |key: &&str| {
            text.lines()
                .any(|line| line.starts_with(&format!("{key} = ")))
        };
        let missing = PUBLISHED_KEYS.iter().filter(|key| !has(key));
        found.extend(missing.map(|key| Finding::whole(&path, format!("no `{key}`"))));
        let folder = format!("crates/{name}");
        let missing = LICENCES.iter().filter(|file| {
            let copy = tree.text(&format!("{folder}/{file}"));
            copy.is_none() || copy != tree.text(file)
        });
        found.extend(missing.map(|file| Finding::whole(&folder, format!("no link to {file}"))));
    }
    found
}

/// Crates of one layer have the same `clippy.toml`, because clippy reads only the nearest file and merges none.
pub(crate) fn layer_lints(tree: &Tree) -> Vec<Finding> {
    [layers::PURE, layers::SHELLS]
        .iter()
        .flat_map(|layer| unlike(tree, layer))
        .collect()
}

fn unlike(tree: &Tree, layer: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut first: Option<(String, &str)> = None;
    for name in layer {
        if tree.text(&format!("crates/{name}/Cargo.toml")).is_none() {
            continue;
        }
        let path = format!("crates/{name}/clippy.toml");
        match (tree.text(&path), &first) {
            (None, _) => found.push(Finding::whole(
                &path,
                "the crate has no lint settings of its layer",
            )),
            (Some(text), None) => first = Some((path, text)),
            (Some(text), Some((model, expected))) if text != *expected => {
                found.push(Finding::whole(
                    &path,
                    format!("differs from {model}, which is of the same layer"),
                ));
            }
            (Some(_), Some(_)) => {}
        }
    }
    found
}

/// Every dependency and every feature has its reason next to it.
pub(crate) fn reasons(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending("Cargo.toml")
        .flat_map(|(path, text)| unexplained(path, text))
        .collect()
}

fn unexplained(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut section = "";
    let mut commented = false;
    // A line inside a list that spans several lines is not an entry of the section.
    let mut depth = 0_usize;
    for (number, line) in text.lines().enumerate() {
        let code = line.split('#').next().unwrap_or("").trim();
        let inside = depth > 0;
        if !code.starts_with('[') || inside {
            depth = (depth + code.matches(['[', '{']).count())
                .saturating_sub(code.matches([']', '}']).count());
        }
        if inside {
            continue;
        }
        let explained = commented || line.contains('#');
        commented = line.trim_start().starts_with('#') || (commented && code.starts_with('['));
        if let Some(name) = code.strip_prefix('[') {
            section = name.trim_end_matches(']');
            if !explained && is_single_dependency(section) {
                found.push(Finding::at(
                    path,
                    number + 1,
                    "a dependency without a reason",
                ));
            }
        } else if code.contains('=') && !explained && needs_reason(section, code) {
            let name = code.split(['=', '.']).next().unwrap_or(code).trim();
            found.push(Finding::at(
                path,
                number + 1,
                format!("`{name}` has no comment that says what for"),
            ));
        }
    }
    found
}

fn is_dependencies(section: &str) -> bool {
    section.ends_with("dependencies")
}

/// `[dependencies.name]`: a table for one dependency.
fn is_single_dependency(section: &str) -> bool {
    section
        .rsplit_once('.')
        .is_some_and(|(table, _)| is_dependencies(table))
}

fn needs_reason(section: &str, code: &str) -> bool {
    if section == "features" {
        return true;
    }
    // The reason of a shared dependency is in the workspace manifest, and our own crates are explained by the layers.
    let shared = code.contains("workspace = true") || code.contains("workspace=true");
    is_dependencies(section) && !shared && !code.contains("path =")
}

/// Lock files name the public registries only.
pub(crate) fn lock_files(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending("Cargo.lock") {
        found.extend(foreign(path, text, "source = \"", RUST_INDEX));
    }
    for (path, text) in tree.texts_ending("package-lock.json") {
        found.extend(foreign(path, text, "\"resolved\": \"", NPM_REGISTRY));
    }
    found
}

fn foreign(path: &str, text: &str, key: &str, home: &str) -> Vec<Finding> {
    text.lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number, line.trim_start().strip_prefix(key)?)))
        .filter(|(_, value)| !value.starts_with(home))
        .map(|(number, _)| {
            Finding::at(
                path,
                number + 1,
                "a package that does not come from the public registry",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::findings;
    use super::*;

    #[test]
    fn lint_settings_that_differ_within_a_layer_are_found() {
        let crates = [
            ("crates/steadfast-machine/Cargo.toml", ""),
            ("crates/steadfast-machine/clippy.toml", "a = 1\n"),
            ("crates/steadfast-hub/Cargo.toml", ""),
            ("crates/steadfast-gateway/Cargo.toml", ""),
            ("crates/steadfast-gateway/clippy.toml", "b = 1\n"),
        ];
        let good = [
            crates.as_slice(),
            &[("crates/steadfast-hub/clippy.toml", "a = 1\n")],
        ]
        .concat();
        let bad = [
            crates.as_slice(),
            &[("crates/steadfast-hub/clippy.toml", "a = 2\n")],
        ]
        .concat();

        assert_eq!(findings(layer_lints, &good), [""; 0]);
        assert_eq!(findings(layer_lints, &bad).len(), 1, "different");
        assert_eq!(findings(layer_lints, &crates).len(), 1, "missing");
    }

    #[test]
    fn a_published_crate_without_metadata_or_licence_is_found() {
        let manifest =
            "[package]\ndescription = \"a\"\nkeywords = [\"a\"]\ncategories = [\"os\"]\n";
        let licences = [
            ("LICENSE-APACHE", "a"),
            ("LICENSE-MIT", "b"),
            ("crates/steadfast-clock/LICENSE-APACHE", "a"),
        ];
        let good = [
            licences.as_slice(),
            &[
                ("crates/steadfast-clock/Cargo.toml", manifest),
                ("crates/steadfast-clock/LICENSE-MIT", "b"),
            ],
        ];
        let bad = [
            licences.as_slice(),
            &[
                (
                    "crates/steadfast-clock/Cargo.toml",
                    "[package]\ndescription = \"a\"\n",
                ),
                ("crates/steadfast-clock/LICENSE-MIT", "of another time"),
            ],
        ];

        assert_eq!(findings(published, &good.concat()), [""; 0]);
        assert_eq!(
            findings(published, &bad.concat()),
            [
                "crates/steadfast-clock/Cargo.toml: no `keywords`",
                "crates/steadfast-clock/Cargo.toml: no `categories`",
                "crates/steadfast-clock: no link to LICENSE-MIT",
            ]
        );
    }

    #[test]
    fn a_dependency_or_feature_without_a_reason_is_found() {
        let good = "\
[workspace.dependencies]
steadfast-hub = { path = \"x\" }
# Shared buffers
bytes = { version = \"1\", features = [
  \"std\",
] }
anyhow = \"1\" # errors of tasks
[dependencies]
bytes.workspace = true
[package]
name = \"x\"
";
        let bad = "\
[dependencies]
# Shared buffers
bytes = \"1\"
anyhow = \"1\"
[features]
fast = []
[dev-dependencies.proptest]
version = \"1\"
";

        assert_eq!(findings(reasons, &[("Cargo.toml", good)]), [""; 0]);
        assert_eq!(
            findings(reasons, &[("Cargo.toml", bad)]),
            [
                "Cargo.toml:4: `anyhow` has no comment that says what for",
                "Cargo.toml:6: `fast` has no comment that says what for",
                "Cargo.toml:7: a dependency without a reason",
            ]
        );
    }

    #[test]
    fn a_package_from_elsewhere_is_found() {
        let good = format!("source = \"{RUST_INDEX}\"\n");
        let git = "source = \"git+https://example.org/x\"\n";
        let npm_good = format!("  \"resolved\": \"{NPM_REGISTRY}ws/-/ws.tgz\",\n");
        let npm_bad = "  \"resolved\": \"https://npm.example.org/ws/-/ws.tgz\",\n";

        assert_eq!(
            findings(
                lock_files,
                &[("Cargo.lock", &good), ("a/package-lock.json", &npm_good)]
            ),
            [""; 0]
        );
        assert_eq!(
            findings(
                lock_files,
                &[("a/Cargo.lock", git), ("package-lock.json", npm_bad)]
            )
            .len(),
            2
        );
    }
}
