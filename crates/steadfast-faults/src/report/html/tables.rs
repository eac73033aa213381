//! Tables: real ones, which screen readers can walk through, in regions that scroll on narrow screens.

use std::fmt::Display;

use crate::counted::counted_len;
use crate::report::markup::Markup;

/// Opens a table with its caption and headings. Each heading that begins with `#` is that of numbers.
pub(super) fn open(page: &mut Markup, caption: &str, headings: &[&str]) {
    page.open(
        "div",
        &[
            ("class", &"scroll"),
            ("role", &"region"),
            ("aria-label", &caption),
            ("tabindex", &0),
        ],
    );
    page.open("table", &[]);
    page.leaf("caption", &[], caption);
    page.open("thead", &[]);
    page.open("tr", &[]);
    for heading in headings {
        match heading.strip_prefix('#') {
            Some(heading) => page.leaf("th", &[("scope", &"col"), ("class", &"n")], heading),
            None => page.leaf("th", &[("scope", &"col")], heading),
        }
    }
    page.close();
    page.close();
    page.open("tbody", &[]);
}

/// Closes what [`open`] opened.
pub(super) fn close(page: &mut Markup) {
    for _ in ["tbody", "table", "div"] {
        page.close();
    }
}

/// Writes the first cell of a row.
pub(super) fn heading(page: &mut Markup, text: impl Display) {
    page.leaf("th", &[("scope", &"row")], text);
}

/// Writes a cell of text.
pub(super) fn cell(page: &mut Markup, text: impl Display) {
    page.leaf("td", &[], text);
}

/// Writes a cell with a number.
pub(super) fn number(page: &mut Markup, text: impl Display) {
    page.leaf("td", &[("class", &"n")], text);
}

/// Writes a cell with a bar of so many hundredths; the same number is in another cell of the row.
pub(super) fn bar(page: &mut Markup, parts: &[u64]) {
    page.open("td", &[("class", &"wide")]);
    page.open(
        "svg",
        &[
            ("class", &"share"),
            ("viewBox", &"0 0 1000 10"),
            ("preserveAspectRatio", &"none"),
            ("aria-hidden", &"true"),
        ],
    );
    let mut x = 0;
    for (index, width) in parts.iter().enumerate() {
        let class = format!("p{index}");
        page.empty(
            "rect",
            &[
                ("class", &class),
                ("x", &x),
                ("width", width),
                ("height", &10),
            ],
        );
        x += width;
    }
    page.close();
    page.close();
}

/// Opens a table that is shown on request: the numbers of a plot.
pub(super) fn open_details(page: &mut Markup, caption: &str, headings: &[&str]) {
    page.open("details", &[]);
    page.leaf("summary", &[], format!("Table: {caption}"));
    open(page, caption, headings);
}

/// Closes what [`open_details`] opened.
pub(super) fn close_details(page: &mut Markup) {
    close(page);
    page.close();
}

/// Says how many entries of a list are missing, if any are.
pub(super) fn write_cut(page: &mut Markup, shown: usize, total: usize, one: &str, many: &str) {
    if total > shown {
        let rest = counted_len(total - shown, one, many);
        page.leaf("p", &[("class", &"note")], format!("{rest} not shown."));
    }
}
