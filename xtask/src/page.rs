//! The demo's page: npm builds it into `web/dist`, from which cargo embeds it into the program.
//!
//! Cargo compiles the program again whenever a file of the page was written, so an unchanged page is not built again.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::semver::{Version, VersionReq};
use serde_json::Value;

use crate::setup;
use crate::tools::{is_available, output, run as execute, say};
use crate::tree::root;

const FOLDER: &str = "web";
/// The digest of sources and output of the last build; removed together with the packages that it needed.
const MARK: &str = "node_modules/.built-page";
/// What is in the folder and is neither a source of the page nor a part of it.
const OTHERS: [&str; 4] = ["README.md", "biome.json", "node_modules", "tests"];

/// Builds the page, unless it is the result of the present sources.
///
/// # Errors
///
/// When Node.js or npm is missing or too old, or the page cannot be built.
pub(crate) fn build() -> Result<()> {
    let folder = root().join(FOLDER);
    once(&folder, || {
        check_node(&folder)?;
        setup::npm_packages("web/package-lock.json")?;
        execute("npm", &["--prefix", FOLDER, "run", "--silent", "build"])
    })
}

/// Builds unless the folder is exactly as the last build left it.
fn once(folder: &Path, build: impl FnOnce() -> Result<()>) -> Result<()> {
    let mark = folder.join(MARK);
    let digest = || {
        let mut hasher = DefaultHasher::new();
        hash_folder(folder, &OTHERS, &mut hasher)?;
        Ok::<_, anyhow::Error>(format!("{:016x}", hasher.finish()))
    };
    let is_built = folder.join("dist/index.html").is_file();
    if is_built && fs::read(&mark).ok() == Some(digest()?.into_bytes()) {
        say("page: up to date");
        return Ok(());
    }
    build()?;
    fs::write(&mark, digest()?).with_context(|| format!("failed to write {}", mark.display()))
}

/// Hashes names and contents of all files of a folder except some entries of its top level.
fn hash_folder(folder: &Path, except: &[&str], hasher: &mut DefaultHasher) -> Result<()> {
    let unreadable = || format!("failed to read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(unreadable)?;
    let mut entries = entries
        .collect::<Result<Vec<_>, _>>()
        .with_context(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        if except.iter().any(|excepted| name == *excepted) {
            continue;
        }
        name.hash(hasher);
        if path.is_dir() {
            hash_folder(&path, &[], hasher)?;
            "..".hash(hasher);
        } else {
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            bytes.hash(hasher);
        }
    }
    Ok(())
}

/// Checks that Node.js and npm can build the page, before packages are installed.
fn check_node(folder: &Path) -> Result<()> {
    let package = folder.join("package.json");
    let text =
        fs::read(&package).with_context(|| format!("failed to read {}", package.display()))?;
    let package: Value = serde_json::from_slice(&text)
        .with_context(|| format!("failed to parse {}", package.display()))?;
    let range = package
        .pointer("/engines/node")
        .and_then(Value::as_str)
        .context("web/package.json has no engines.node")?;
    let found = is_available("node", &["--version"])
        .then(|| output("node", &["--version"]))
        .transpose()?;
    check_version(range, found.as_deref())?;
    ensure!(
        is_available("npm", &["--version"]),
        "npm not found: install it together with Node.js, from https://nodejs.org"
    );
    Ok(())
}

/// Checks what `node --version` printed against npm's notation of ranges, as far as `engines` of the page uses it.
fn check_version(range: &str, found: Option<&str>) -> Result<()> {
    let Some(found) = found.map(str::trim) else {
        bail!("Node.js not found: install version {range} from https://nodejs.org");
    };
    let version = found.strip_prefix('v').unwrap_or(found);
    let version =
        Version::parse(version).with_context(|| format!("unknown Node.js version {found}"))?;
    for alternative in range.split("||") {
        let alternative = VersionReq::parse(alternative.trim())
            .with_context(|| format!("unknown range of Node.js versions {range}"))?;
        if alternative.matches(&version) {
            return Ok(());
        }
    }
    bail!(
        "unsupported Node.js {found}: the page needs {range}; install such a version from https://nodejs.org"
    );
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_page_is_built_again_only_when_a_source_or_the_result_changed() {
        let folder = std::env::temp_dir().join(format!("steadfast-page-{}", std::process::id()));
        for part in ["src", "dist", "tests", "node_modules"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let write = |path: &str, text: &str| fs::write(folder.join(path), text).unwrap();
        let builds = Cell::new(0);
        let build = || {
            once(&folder, || {
                builds.set(builds.get() + 1);
                write("dist/index.html", "built");
                Ok(())
            })
            .unwrap();
            builds.get()
        };

        write("src/app.ts", "a");
        assert_eq!((build(), build()), (1, 1));
        write("src/app.ts", "b");
        assert_eq!((build(), build()), (2, 2));
        write("src/more.ts", "");
        assert_eq!((build(), build()), (3, 3));
        // As after a build by hand from other sources.
        write("dist/index.html", "of other sources");
        assert_eq!((build(), build()), (4, 4));
        fs::remove_file(folder.join("dist/index.html")).unwrap();
        assert_eq!((build(), build()), (5, 5));
        write("tests/app.test.ts", "not a source of the page");
        assert_eq!(build(), 5);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn node_is_checked_against_the_range_of_the_page() {
        const RANGE: &str = "^20.19.0 || >=22.12.0";
        for found in ["v20.19.0\n", "v20.20.2", "v22.12.0", "v25.1.0"] {
            check_version(RANGE, Some(found)).unwrap();
        }
        for found in ["v18.20.4", "v20.11.1", "v21.7.3", "v22.11.0"] {
            let error = check_version(RANGE, Some(found)).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains(RANGE), "{error}");
        }
        let missing = check_version(RANGE, None).unwrap_err().to_string();
        assert!(missing.starts_with("Node.js not found"), "{missing}");
    }

    #[test]
    fn the_range_of_the_page_is_readable() {
        let package = fs::read(root().join(FOLDER).join("package.json")).unwrap();
        let package: Value = serde_json::from_slice(&package).unwrap();
        let range = package.pointer("/engines/node").and_then(Value::as_str);

        check_version(range.unwrap(), Some("v22.12.0")).unwrap();
    }
}
