//! The share of a fleet that is connected, over the time since the end of the outage: a panel per outage, as SVG.

use std::fmt::Write as _;

use crate::fleet::{Fleet, Policy};

const PANEL_WIDTH: f64 = 400.0;
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 60.0;
/// Time axes end at a multiple of this, in seconds.
const AXIS_STEP: f64 = 10.0;

/// The curves after one outage.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) curves: Vec<(Policy, Fleet)>,
}

const fn color(policy: Policy) -> &'static str {
    match policy {
        Policy::Doubling => "#b0701c",
        Policy::Sdk => "#667085",
        Policy::Proportional => "#0f7b5f",
    }
}

/// Draws panels side by side, with a legend above.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let mut out = String::new();
    let panel_count = u32::try_from(panels.len()).expect("there are few panels");
    let (width, height) = (PANEL_WIDTH * f64::from(panel_count), TOP + HEIGHT + 50.0);
    line(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">"
        ),
    );
    line(
        &mut out,
        format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"),
    );
    let mut x = 24.0;
    for policy in Policy::ALL {
        let (color, name) = (color(policy), policy.name());
        line(
            &mut out,
            format_args!("<rect x=\"{x}\" y=\"12\" width=\"14\" height=\"4\" fill=\"{color}\"/>"),
        );
        line(
            &mut out,
            format_args!("<text x=\"{}\" y=\"19\">{name}</text>", x + 20.0),
        );
        x += 265.0;
    }
    let mut left = 0.0;
    for panel in panels {
        draw(&mut out, panel, left + LEFT);
        left += PANEL_WIDTH;
    }
    line(&mut out, format_args!("</svg>"));
    out
}

fn draw(out: &mut String, panel: &Panel, left: f64) {
    let times = panel
        .curves
        .iter()
        .map(|(_, fleet)| fleet.percentile(100).as_secs_f64());
    let last = times.fold(0.0, f64::max);
    let seconds = (last / AXIS_STEP).ceil() * AXIS_STEP;
    let at = |time: f64| left + WIDTH * time / seconds;
    let bottom = TOP + HEIGHT;
    line(
        out,
        format_args!(
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            TOP - 14.0,
            panel.title
        ),
    );
    for share in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = bottom - HEIGHT * share / 100.0;
        line(
            out,
            format_args!("<path d=\"M{left} {y}h{WIDTH}\" stroke=\"#e4e7ec\"/>"),
        );
        line(
            out,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{share} %</text>",
                left - 6.0,
                y + 4.0
            ),
        );
    }
    let mut tick = 0.0;
    while tick <= seconds {
        let x = at(tick);
        line(
            out,
            format_args!(
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{tick} s</text>",
                bottom + 18.0
            ),
        );
        tick += AXIS_STEP / 2.0;
    }
    line(
        out,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">since the server is available again</text>",
            left + WIDTH / 2.0,
            bottom + 38.0
        ),
    );
    for (policy, fleet) in &panel.curves {
        let mut points = format!("M{left} {bottom}");
        for percent in 0..=100_u8 {
            let x = at(fleet.percentile(usize::from(percent)).as_secs_f64());
            let y = bottom - HEIGHT * f64::from(percent) / 100.0;
            // A string accepts every write.
            let _ = write!(points, "L{x:.1} {y:.1}");
        }
        let color = color(*policy);
        line(
            out,
            format_args!(
                "<path d=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
            ),
        );
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string accepts every write.
    let _ = writeln!(out, "{text}");
}
