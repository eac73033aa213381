//! The page of the documentation: only what stands between the two markers is written anew.

use std::path::Path;

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->";

/// Replaces the generated part of the page at `path`.
pub(crate) fn rewrite(path: &Path, table: &str) -> Result<()> {
    let page = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let page = replace(&page, table)
        .with_context(|| format!("{} lacks the markers of the bench", path.display()))?;
    Ok(std::fs::write(path, page)?)
}

fn replace(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n{}\n\n{END}{after}",
        table.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_markers_changes() {
        let page = format!("before\n{BEGIN}old\n{END}\nafter\n");

        let once = replace(&page, "new\n").unwrap();
        let twice = replace(&once, "new\n").unwrap();

        assert_eq!(once, format!("before\n{BEGIN}\nnew\n\n{END}\nafter\n"));
        assert_eq!(once, twice);
    }
}
