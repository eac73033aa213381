//! The commands and samples of a document: fenced blocks, and commands in the first column of tables.

/// The commands that tables list.
const COMMANDS: [&str; 2] = ["steadfast ", "make "];

/// Something that a reader can run or save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The line in which it begins; the first line is 1.
    pub(super) line: usize,
    /// The language of a fenced block; `row` for a command of a table, `heading` where a section begins.
    pub(super) language: String,
    pub(super) text: String,
}

/// All items in their order.
pub(super) fn items(document: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut open: Option<Item> = None;
    for (index, line) in document.lines().enumerate() {
        let item = |language: &str, text: &str| Item {
            line: index + 1,
            language: language.to_owned(),
            text: text.to_owned(),
        };
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => items.extend(open.take()),
            (Some(language), None) => open = Some(item(language.trim(), "")),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) if line.starts_with("## ") => items.push(item("heading", line)),
            (None, None) => items.extend(command_of_row(line).map(|it| item("row", it))),
        }
    }
    items
}

/// The command in the first cell of a row.
fn command_of_row(line: &str) -> Option<&str> {
    let cell = line.strip_prefix("| `")?;
    let (code, _) = cell.split_once('`')?;
    COMMANDS
        .iter()
        .any(|prefix| code.starts_with(prefix))
        .then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_rows_and_sections_are_found_in_their_order() {
        let document = "# A\n\n## B\n\n```sh\nmake run\n\nls\n```\n\n| `make sim` | runs |\n| --- | --- |\n| `other` | x |\n";

        let found: Vec<_> = items(document)
            .into_iter()
            .map(|item| (item.line, item.language, item.text))
            .collect();

        let expected = [
            (3, "heading", "## B"),
            (5, "sh", "make run\n\nls\n"),
            (11, "row", "make sim"),
        ];
        assert_eq!(
            found,
            expected.map(|(line, language, text)| (line, language.to_owned(), text.to_owned()))
        );
    }
}
