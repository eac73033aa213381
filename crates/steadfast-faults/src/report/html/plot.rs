//! Plots over time: an SVG that the browser stretches, with labels in HTML that keep their size on any screen.

use std::fmt::{self, Write as _};
use std::time::Duration;

use steadfast_machine::convert;

use super::axis::{HEIGHT, Tick, TimeAxis, WIDTH};
use crate::report::markup::Markup;

/// The most bars of one lane; with more, only the first are drawn.
const BARS_MAX: usize = 200;

/// The least width of a bar, so that a short one is visible.
const BAR_WIDTH_MIN: u64 = 25;

/// A plot of several lines.
pub(super) struct Plot<'a> {
    /// What the plot shows, for readers who cannot see it.
    pub(super) label: String,
    pub(super) axis: TimeAxis,
    /// The labels of the vertical axis.
    pub(super) ticks: Vec<Tick>,
    pub(super) lines: Vec<Line>,
    /// The duration of all intervals of a line; the last interval may end after the axis.
    pub(super) lasting: Duration,
    /// Periods that are marked over the whole height.
    pub(super) marked: &'a [(u64, u64)],
}

/// Heights in equal intervals from the left end; `None` leaves a gap.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) heights: Vec<Option<u64>>,
}

impl Plot<'_> {
    pub(super) fn write(&self, page: &mut Markup) {
        page.open("div", &[("class", &"plot")]);
        page.open(
            "div",
            &[
                ("class", &"area"),
                ("role", &"img"),
                ("aria-label", &self.label),
            ],
        );
        page.open("div", &[("class", &"y"), ("aria-hidden", &"true")]);
        for tick in &self.ticks {
            let style = format!("bottom:{}%", percent(tick.at, HEIGHT));
            page.leaf("span", &[("style", &style)], &tick.label);
        }
        page.close();
        open_svg(page, "lines");
        for (from, to) in self.marked {
            write_bar(page, "marked", *from, *to);
        }
        for tick in &self.ticks {
            let y = HEIGHT - tick.at;
            page.empty(
                "path",
                &[("class", &"grid"), ("d", &format!("M0 {y}H{WIDTH}"))],
            );
        }
        let width = self.axis.width(self.lasting);
        for (number, line) in self.lines.iter().enumerate() {
            let class = format!("line l{number}");
            let path = steps(&line.heights, width);
            page.empty("path", &[("class", &class), ("d", &path)]);
        }
        page.close();
        page.close();
        write_time_labels(page, self.axis);
        page.close();
        self.write_legend(page);
    }

    fn write_legend(&self, page: &mut Markup) {
        page.open("ul", &[("class", &"legend")]);
        for (number, line) in self.lines.iter().enumerate() {
            // A line without values is not drawn.
            if line.heights.iter().all(Option::is_none) {
                continue;
            }
            page.open("li", &[]);
            page.open(
                "svg",
                &[
                    ("class", &"key"),
                    ("viewBox", &"0 0 30 6"),
                    ("aria-hidden", &"true"),
                ],
            );
            let class = format!("line l{number}");
            page.empty("path", &[("class", &class), ("d", &"M0 3H30")]);
            page.close();
            page.say(&line.name);
            page.close();
        }
        if !self.marked.is_empty() {
            page.open("li", &[]);
            page.leaf("span", &[("class", &"key marked")], "");
            page.say("a fault is in effect");
            page.close();
        }
        page.close();
    }
}

/// Writes bars of one kind on the axis of time, with a name at their left.
pub(super) fn write_lane(page: &mut Markup, name: &str, label: &str, bars: &[(u64, u64)]) {
    page.open("div", &[("class", &"lane")]);
    page.leaf("span", &[("class", &"name")], name);
    page.open(
        "div",
        &[("class", &"area"), ("role", &"img"), ("aria-label", &label)],
    );
    open_svg(page, "bars");
    for (from, to) in bars.iter().take(BARS_MAX) {
        write_bar(page, "bar", *from, *to);
    }
    page.close();
    page.close();
    page.close();
}

/// Writes one bar of an SVG that was opened with [`open_svg`].
pub(super) fn write_bar(page: &mut Markup, class: &'static str, from: u64, to: u64) {
    let width = to.saturating_sub(from).max(BAR_WIDTH_MIN);
    page.empty(
        "rect",
        &[
            ("class", &class),
            ("x", &from.min(WIDTH - BAR_WIDTH_MIN)),
            ("width", &width),
            ("height", &HEIGHT),
        ],
    );
}

/// Opens an SVG with the units of [`super::axis`].
pub(super) fn open_svg(page: &mut Markup, class: &'static str) {
    page.open(
        "svg",
        &[
            ("class", &class),
            ("viewBox", &format!("0 0 {WIDTH} {HEIGHT}")),
            ("preserveAspectRatio", &"none"),
            ("aria-hidden", &"true"),
        ],
    );
}

/// Writes the labels of the axis of time.
pub(super) fn write_time_labels(page: &mut Markup, axis: TimeAxis) {
    page.open("div", &[("class", &"x"), ("aria-hidden", &"true")]);
    for tick in axis.ticks() {
        let style = format!("left:{}%", percent(tick.at, WIDTH));
        page.leaf("span", &[("style", &style)], &tick.label);
    }
    page.close();
}

/// With one decimal.
fn percent(part: u64, whole: u64) -> String {
    let permille = part * 1_000 / whole;
    format!("{}.{}", permille / 10, permille % 10)
}

/// The path of a line: level in each interval; `width` is that of all intervals.
fn steps(heights: &[Option<u64>], width: u64) -> String {
    let count = convert::to_u64(heights.len()).max(1);
    let mut path = String::new();
    let mut previous = None;
    for (number, height) in (0_u64..).zip(heights) {
        let (from, to) = (number * width / count, (number + 1) * width / count);
        if let Some(height) = height {
            let y = HEIGHT - (*height).min(HEIGHT);
            match previous {
                // A level line is extended by the next end.
                Some(before) if before == y => {
                    let end = path.rfind('H').unwrap_or(path.len());
                    path.truncate(end);
                }
                Some(_) => write(&mut path, format_args!("V{y}")),
                None => write(&mut path, format_args!("M{from} {y}")),
            }
            write(&mut path, format_args!("H{to}"));
            previous = Some(y);
        } else {
            previous = None;
        }
    }
    path
}

fn write(path: &mut String, part: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = path.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_level_in_each_interval_and_has_gaps_without_values() {
        assert_eq!(
            steps(&[Some(0), Some(1_000), Some(1_000), None, Some(500)], WIDTH),
            "M0 1000H2000V0H6000M8000 500H10000"
        );
        assert_eq!(steps(&[Some(0)], 12_000), "M0 1000H12000");
        assert_eq!(steps(&[], WIDTH), "");
    }

    #[test]
    fn percentages_have_one_decimal() {
        assert_eq!(percent(1, 3), "33.3");
        assert_eq!(percent(HEIGHT, HEIGHT), "100.0");
    }
}
