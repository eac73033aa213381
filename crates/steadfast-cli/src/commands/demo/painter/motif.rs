//! What the painters draw: a frame, the word STEADFAST, waves, and two columns of figures. The middle of the canvas is
//! left to the users.
//!
//! A motif is a fixed list of cells in drawing order. A painter draws it once in the first colour of each cell, then
//! again in the next colour, and so on: it publishes continuously, and the picture stays the same. Violet and pink are
//! not used, so that a user has colours that no painter has.

use std::collections::BTreeSet;
use std::f64::consts::TAU;

use super::super::board::SIDE;

/// The points per curve: more than it has cells, so that it has no gap.
const POINTS: u16 = 2_000;
/// The distance of the frame from the edge of the canvas, in cells.
const MARGIN: usize = 2;
/// The length of a dash of the frame, in cells of one side.
const DASH: usize = 5;
/// The width of a letter and the space after it, in cells.
const LETTER_STEP: usize = 6;
/// The upper left corner of the word.
const WORD_AT: (usize, usize) = (5, 6);
/// The columns of figures: the x coordinates of their centres, and the y coordinates of the upper and lower figure.
const LEFT: f64 = 12.0;
const RIGHT: f64 = 51.0;
const UPPER: f64 = 24.0;
const LOWER: f64 = 42.0;

// Indices into `board::COLORS`.
const RED: u8 = 4;
const ORANGE: u8 = 6;
const YELLOW: u8 = 7;
const GREEN: u8 = 8;
const LIGHT_GREEN: u8 = 9;
const TEAL: u8 = 10;
const TURQUOISE: u8 = 11;
const BLUE: u8 = 12;
const LIGHT_BLUE: u8 = 13;

/// The letters of the word STEADFAST, in order.
const WORD: [[&str; 7]; 9] = [S, T, E, A, D, F, A, S, T];
const S: [&str; 7] = [
    ".####", "#....", "#....", ".###.", "....#", "....#", "####.",
];
const T: [&str; 7] = [
    "#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#..",
];
const E: [&str; 7] = [
    "#####", "#....", "#....", "####.", "#....", "#....", "#####",
];
const A: [&str; 7] = [
    ".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#",
];
const D: [&str; 7] = [
    "####.", "#...#", "#...#", "#...#", "#...#", "#...#", "####.",
];
const F: [&str; 7] = [
    "#####", "#....", "#....", "####.", "#....", "#....", "#....",
];

/// One cell of a motif, and the colours that it has one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) x: usize,
    pub(super) y: usize,
    colors: [u8; 2],
}

/// Draws a motif cell by cell, indefinitely.
#[derive(Debug)]
pub(super) struct Brush {
    cells: Vec<Cell>,
    next: usize,
    pass: usize,
}

impl Brush {
    /// The brush of a painter; the first has the number 0. More painters than motifs share them: each starts at another
    /// part of its motif.
    pub(super) fn new(painter: usize) -> Self {
        let motifs: [fn() -> Vec<Cell>; 5] =
            [frame, word, waves, flower_and_star, spiral_and_heart];
        let (sharer, motif) = (painter / motifs.len(), painter % motifs.len());
        let cells = motifs.get(motif).map_or_else(Vec::new, |cells| cells());
        // Multiples of the golden ratio spread any number of starts evenly.
        let next = (sharer * 618 % 1_000) * cells.len() / 1_000;
        Self {
            cells,
            next,
            pass: 0,
        }
    }

    /// The next cell and its colour.
    pub(super) fn step(&mut self) -> Option<(Cell, u8)> {
        let cell = *self.cells.get(self.next)?;
        let color = *cell.colors.get(self.pass % cell.colors.len())?;
        self.next += 1;
        if self.next == self.cells.len() {
            self.next = 0;
            self.pass += 1;
        }
        Some((cell, color))
    }
}

/// A dashed frame, drawn on all four sides at once. Each pass exchanges the colours of the dashes.
fn frame() -> Vec<Cell> {
    let (first, last) = (MARGIN, SIDE - 1 - MARGIN);
    (0..last - first)
        .flat_map(|at| {
            let colors = if (at / DASH).is_multiple_of(2) {
                [TEAL, TURQUOISE]
            } else {
                [TURQUOISE, TEAL]
            };
            [
                (first + at, first),
                (last, first + at),
                (last - at, last),
                (first, last - at),
            ]
            .map(|(x, y)| Cell { x, y, colors })
        })
        .collect()
}

/// The word, letter by letter.
fn word() -> Vec<Cell> {
    let (left, top) = WORD_AT;
    let mut cells = Vec::new();
    for (letter, start) in WORD.iter().zip((left..).step_by(LETTER_STEP)) {
        for (line, y) in letter.iter().zip(top..) {
            let marked = line.bytes().zip(start..).filter(|(mark, _)| *mark == b'#');
            cells.extend(marked.map(|(_, x)| Cell {
                x,
                y,
                colors: [BLUE, TEAL],
            }));
        }
    }
    cells
}

/// Two waves in opposite directions.
fn waves() -> Vec<Cell> {
    let wave = |height: f64| {
        move |part: f64| {
            let y = 55.0 + height * (3.0 * TAU * part).sin();
            (5.0 + 53.0 * part, y)
        }
    };
    distinct([
        curve([LIGHT_BLUE, TURQUOISE], wave(3.0)),
        curve([BLUE, LIGHT_BLUE], wave(-3.0)),
    ])
}

fn flower_and_star() -> Vec<Cell> {
    let petals = |angle: f64| 9.4 * (2.0 * angle).sin();
    let middle = |angle: f64| 3.2 * (2.0 * angle).cos();
    distinct([
        curve([YELLOW, ORANGE], polar(LEFT, UPPER, 1.0, middle)),
        curve([RED, ORANGE], polar(LEFT, UPPER, 1.0, petals)),
        curve([ORANGE, YELLOW], star(8.5)),
        curve([YELLOW, RED], star(4.0)),
    ])
}

fn spiral_and_heart() -> Vec<Cell> {
    let turns = 2.75;
    let growing = move |angle: f64| 8.0 * angle / (TAU * turns);
    distinct([
        curve([GREEN, LIGHT_GREEN], polar(RIGHT, UPPER, turns, growing)),
        curve([RED, ORANGE], heart(0.45)),
        curve([ORANGE, RED], heart(0.22)),
    ])
}

/// A curve by its radius at each angle.
fn polar(x: f64, y: f64, turns: f64, radius: impl Fn(f64) -> f64) -> impl Fn(f64) -> (f64, f64) {
    move |part| {
        let angle = TAU * turns * part;
        let radius = radius(angle);
        (x + radius * angle.cos(), y + radius * angle.sin())
    }
}

/// The outline of a star with five points.
fn star(radius: f64) -> impl Fn(f64) -> (f64, f64) {
    /// The radius of the inner corners relative to that of the points.
    const INNER: f64 = 0.42;
    const CORNERS: f64 = 10.0;
    let corner = move |number: f64| {
        let radius = if number % 2.0 == 0.0 {
            radius
        } else {
            radius * INNER
        };
        let (sin, cos) = (TAU * number / CORNERS).sin_cos();
        (LEFT + radius * sin, LOWER - radius * cos)
    };
    move |part| {
        let (number, between) = ((part * CORNERS).floor(), (part * CORNERS).fract());
        let (from, to) = (corner(number), corner(number + 1.0));
        (
            from.0 + (to.0 - from.0) * between,
            from.1 + (to.1 - from.1) * between,
        )
    }
}

fn heart(scale: f64) -> impl Fn(f64) -> (f64, f64) {
    move |part| {
        let angle = TAU * part;
        let up = 13.0 * angle.cos()
            - 5.0 * (2.0 * angle).cos()
            - 2.0 * (3.0 * angle).cos()
            - (4.0 * angle).cos();
        let right = 16.0 * angle.sin().powi(3);
        (RIGHT + scale * right, LOWER - 1.0 - scale * up)
    }
}

/// The cells of a curve. `at` returns the point at each part of the curve from 0 to 1.
fn curve(colors: [u8; 2], at: impl Fn(f64) -> (f64, f64)) -> Vec<Cell> {
    (0..POINTS)
        .map(|point| at(f64::from(point) / f64::from(POINTS)))
        .map(|(x, y)| Cell {
            x: nearest(x),
            y: nearest(y),
            colors,
        })
        .collect()
}

/// The column or row whose centre is nearest, within the canvas.
fn nearest(coordinate: f64) -> usize {
    (1_u16..)
        .take(SIDE - 1)
        .take_while(|edge| f64::from(*edge) - 0.5 <= coordinate)
        .count()
}

/// All cells in order, each once.
fn distinct(curves: impl IntoIterator<Item = Vec<Cell>>) -> Vec<Cell> {
    let mut seen = BTreeSet::new();
    let cells = curves.into_iter().flatten();
    cells.filter(|cell| seen.insert((cell.x, cell.y))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns and rows that are left to the users.
    const MIDDLE: std::ops::RangeInclusive<usize> = 22..=41;

    #[test]
    fn the_motifs_are_bounded_and_disjoint_and_leave_the_middle_free() {
        let mut seen = BTreeSet::new();
        for painter in 0..5 {
            let cells = Brush::new(painter).cells;
            assert!((100..300).contains(&cells.len()), "motif {painter}");
            for cell in cells {
                let is_middle = MIDDLE.contains(&cell.x) && (16..=48).contains(&cell.y);
                assert!(!is_middle && cell.x < SIDE && cell.y < SIDE, "{cell:?}");
                assert!(seen.insert((cell.x, cell.y)), "{cell:?} is in two motifs");
            }
        }
    }

    #[test]
    fn each_pass_draws_the_same_cells_in_the_next_colour() {
        let mut brush = Brush::new(1);
        let mut pass = || -> Vec<(Cell, u8)> {
            (0..word().len())
                .map(|_| brush.step().expect("a cell"))
                .collect()
        };

        let (first, second, third) = (pass(), pass(), pass());

        assert_eq!(first, third);
        assert!(
            first
                .iter()
                .zip(&second)
                .all(|((cell, color), (again, other))| cell == again && color != other)
        );
    }

    #[test]
    fn painters_that_share_a_motif_start_at_different_cells() {
        let starts: BTreeSet<_> = (0..20).map(|sharer| Brush::new(sharer * 5).next).collect();

        assert_eq!(starts.len(), 20);
        assert_eq!(Brush::new(99).cells, spiral_and_heart());
    }
}
