//! The documentation page: only the text between the two markers of a part is replaced.

use std::path::Path;

use anyhow::{Context, Result};

/// A generated part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The rows of the servers.
    Server,
    /// The rows of the client library.
    Client,
    /// The rows of the bystanders.
    Bystander,
    /// The rows of the proxy.
    Proxy,
    /// The rows of JSON-RPC.
    Rpc,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "bench",
            Self::Client => "client bench",
            Self::Bystander => "bystander bench",
            Self::Proxy => "proxy bench",
            Self::Rpc => "rpc bench",
        }
    }
}

/// Replaces the generated table of `part` in the page at `path`.
pub(crate) fn rewrite(path: &Path, part: Part, table: &str) -> Result<()> {
    let page = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let page = replace(&page, part, table).with_context(|| {
        format!(
            "markers not found in {} for the {}",
            path.display(),
            part.name()
        )
    })?;
    Ok(std::fs::write(path, page)?)
}

fn replace(page: &str, part: Part, table: &str) -> Option<String> {
    let begin = format!("<!-- {}: begin -->\n", part.name());
    let end = format!("<!-- {}: end -->", part.name());
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!(
        "{before}{begin}\n{}\n\n{end}{after}",
        table.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_of_the_part_is_replaced() {
        let page = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n\
                    between\n<!-- client bench: begin -->\nold\n<!-- client bench: end -->\nafter\n";

        let once = replace(page, Part::Client, "new\n").unwrap();
        let twice = replace(&once, Part::Client, "new\n").unwrap();

        assert_eq!(
            once,
            "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\n\
             between\n<!-- client bench: begin -->\n\nnew\n\n<!-- client bench: end -->\nafter\n"
        );
        assert_eq!(once, twice);
    }
}
