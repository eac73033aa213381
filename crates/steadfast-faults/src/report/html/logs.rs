//! The logs of services and clients: the last lines of each, with a link to the file.

use super::{LOG_LINES_MAX, LOGS_MAX, PageContext, open_section, tables};
use crate::counted::counted;
use crate::report::markup::Markup;

/// The most characters of a line that are shown.
const LINE_LENGTH_MAX: usize = 400;

pub(super) fn write(page: &mut Markup, context: &PageContext<'_>) {
    open_section(page, "logs", "Logs");
    if context.logs.is_empty() {
        page.leaf("p", &[], "The directory of the run has no logs.");
    }
    for log in context.logs.iter().take(LOGS_MAX) {
        page.open("details", &[]);
        let size = counted(log.bytes, "byte", "bytes");
        page.leaf("summary", &[], format!("{}, {size}", log.path));
        if context.is_in_folder {
            page.open("p", &[]);
            page.leaf("a", &[("href", &log.path)], "whole file");
            page.close();
        }
        let label = format!("Last lines of {}", log.path);
        let first = log.lines.len().saturating_sub(LOG_LINES_MAX);
        let lines = log.lines.iter().skip(first);
        let text: String = lines.map(|it| shortened(it) + "\n").collect();
        write_text(page, &label, &text);
        page.close();
    }
    tables::write_cut(page, LOGS_MAX, context.logs.len(), "more log", "more logs");
    page.close();
}

/// Writes lines of a log, which a reader can reach with the keyboard and finds by the label.
pub(super) fn write_text(page: &mut Markup, label: &str, text: &str) {
    page.open(
        "pre",
        &[
            ("tabindex", &0),
            ("role", &"region"),
            ("aria-label", &label),
        ],
    );
    page.say(text);
    page.close();
}

/// The part of a line that is shown.
pub(super) fn shortened(line: &str) -> String {
    let shown: String = line.chars().take(LINE_LENGTH_MAX).collect();
    let cut = if shown.len() < line.len() { "..." } else { "" };
    format!("{shown}{cut}")
}
