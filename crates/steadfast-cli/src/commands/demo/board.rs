//! The picture: the pixels, and the position of the last publication that was applied to them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steadfast::centrifuge::{Position, Publication};

/// The width and the height, in pixels.
pub(super) const SIDE: usize = 64;
/// A pixel that was never painted.
const BLANK: u8 = 255;

/// The colours by their index: sixteen that are distinguishable on a light and on a dark background.
pub(super) const COLORS: [&str; 16] = [
    "#1d1f24", "#ffffff", "#8a929e", "#d7dbe2", "#c62f3b", "#f2727a", "#e8772e", "#f6c244",
    "#2f8f4e", "#8bcf6a", "#1f7a8c", "#5cc8d7", "#2a5bd7", "#7da2f5", "#7b3fb8", "#d48be0",
];

/// The names of the colours by their index, for users who cannot see them.
pub(super) const COLOR_NAMES: [&str; COLORS.len()] = [
    "black",
    "white",
    "grey",
    "light grey",
    "red",
    "pink",
    "orange",
    "yellow",
    "green",
    "light green",
    "teal",
    "turquoise",
    "blue",
    "light blue",
    "violet",
    "lilac",
];

/// The picture at the position of the last applied publication.
///
/// A stroke in the background, as the painters publish, never replaces a stroke that is not. All replicas apply this
/// rule in the order of the channel, so that a user's pixel stays also when a painter's stroke was sent before it, or
/// is stored after it. Names do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Board {
    /// Row by row: the index of the colour, or [`BLANK`].
    pixels: Vec<u8>,
    /// For each pixel, whether its stroke was not in the background.
    foreground: Vec<bool>,
    position: Position,
}

/// A change of the picture, as in the data of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stroke {
    Pixel {
        x: usize,
        y: usize,
        color: u8,
        is_background: bool,
    },
    /// Removes all pixels.
    Clear,
}

impl Stroke {
    /// Parses a stroke. All participants ignore data that is not a valid stroke.
    fn parse(data: &[u8]) -> Option<Self> {
        let data: Value = serde_json::from_slice(data).ok()?;
        data.get("by")?.as_str()?;
        if data.get("clear") == Some(&Value::Bool(true)) {
            return Some(Self::Clear);
        }
        let number = |name: &str| usize::try_from(data.get(name)?.as_u64()?).ok();
        Some(Self::Pixel {
            x: number("x").filter(|x| *x < SIDE)?,
            y: number("y").filter(|y| *y < SIDE)?,
            color: u8::try_from(number("color").filter(|color| *color < COLORS.len())?).ok()?,
            is_background: data.get("background") == Some(&Value::Bool(true)),
        })
    }
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            pixels: vec![BLANK; SIDE * SIDE],
            foreground: vec![false; SIDE * SIDE],
            position: Position::default(),
        }
    }

    pub(super) const fn position(&self) -> &Position {
        &self.position
    }

    /// Clears the picture and starts at offset 0 of another history.
    pub(super) fn reset(&mut self, epoch: &str) {
        *self = Self::new();
        epoch.clone_into(&mut self.position.epoch);
    }

    /// Sets the channel epoch after a subscription without a gap.
    pub(super) fn set_epoch(&mut self, epoch: &str) {
        epoch.clone_into(&mut self.position.epoch);
    }

    /// Applies a publication, unless it was already applied.
    pub(super) fn apply(&mut self, publication: &Publication) {
        if publication.offset <= self.position.offset {
            return;
        }
        self.position.offset = publication.offset;
        match Stroke::parse(&publication.data) {
            Some(Stroke::Pixel {
                x,
                y,
                color,
                is_background,
            }) => self.paint(y * SIDE + x, color, is_background),
            Some(Stroke::Clear) => {
                self.pixels.fill(BLANK);
                self.foreground.fill(false);
            }
            None => {}
        }
    }

    fn paint(&mut self, at: usize, color: u8, is_background: bool) {
        let (Some(pixel), Some(is_foreground)) =
            (self.pixels.get_mut(at), self.foreground.get_mut(at))
        else {
            return;
        };
        if is_background && *is_foreground {
            return;
        }
        *pixel = color;
        *is_foreground = !is_background;
    }

    /// Encodes the picture for the page and for the file.
    pub(super) fn to_json(&self) -> Value {
        let foreground: Vec<u8> = self.foreground.iter().map(|it| u8::from(*it)).collect();
        json!({
            "epoch": self.position.epoch,
            "offset": self.position.offset,
            "width": SIDE,
            "height": SIDE,
            "pixels": STANDARD.encode(&self.pixels),
            "foreground": STANDARD.encode(foreground),
        })
    }

    /// Decodes the output of [`Self::to_json`]; `None` when it has another size or is invalid.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let decode = |name: &str| {
            let bytes = STANDARD.decode(value.get(name)?.as_str()?).ok()?;
            (bytes.len() == SIDE * SIDE).then_some(bytes)
        };
        let pixels = decode("pixels")?;
        let foreground = decode("foreground")?;
        let is_valid = pixels
            .iter()
            .all(|pixel| *pixel == BLANK || usize::from(*pixel) < COLORS.len());
        is_valid.then_some(Self {
            pixels,
            foreground: foreground.iter().map(|it| *it != 0).collect(),
            position: Position {
                epoch: value.get("epoch")?.as_str()?.to_owned(),
                offset: value.get("offset")?.as_u64()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_is_applied_once_and_invalid_data_is_ignored() {
        let mut board = Board::new();
        board.reset("one");

        board.apply(&publication(
            1,
            &json!({"x": 3, "y": 2, "color": 5, "by": "me"}),
        ));
        board.apply(&publication(
            1,
            &json!({"x": 3, "y": 2, "color": 6, "by": "me"}),
        ));
        board.apply(&publication(
            2,
            &json!({"x": 64, "y": 2, "color": 6, "by": "me"}),
        ));
        board.apply(&publication(3, &json!("nothing")));

        assert_eq!(board.pixels[2 * SIDE + 3], 5);
        assert_eq!(board.pixels.iter().filter(|it| **it != BLANK).count(), 1);
        assert_eq!(board.position().offset, 3);
    }

    #[test]
    fn a_saved_picture_is_restored_and_an_invalid_one_is_rejected() {
        let mut board = Board::new();
        board.reset("one");
        board.apply(&publication(
            7,
            &json!({"x": 63, "y": 63, "color": 15, "by": "me"}),
        ));
        let mut saved = board.to_json();

        assert_eq!(Board::from_json(&saved), Some(board));
        for (field, invalid) in [
            ("foreground", STANDARD.encode([1; SIDE])),
            ("pixels", STANDARD.encode([16; SIDE * SIDE])),
        ] {
            saved[field] = json!(invalid);
            assert_eq!(Board::from_json(&saved), None, "{field}");
        }
    }

    #[test]
    fn a_background_stroke_never_replaces_one_of_a_user_in_any_order_or_after_a_restart() {
        let mut board = Board::new();
        board.reset("one");
        let by_painter = |color: u8| json!({"x": 1, "y": 0, "color": color, "by": "painter 1", "background": true});
        let by_user = json!({"x": 1, "y": 0, "color": 5, "by": "painter 1"});

        board.apply(&publication(1, &by_painter(2)));
        assert_eq!(board.pixels[1], 2);
        board.apply(&publication(2, &by_user));
        board.apply(&publication(3, &by_painter(3)));
        assert_eq!(board.pixels[1], 5);

        let mut restarted = Board::from_json(&board.to_json()).expect("a saved picture");
        restarted.apply(&publication(4, &by_painter(4)));
        assert_eq!(restarted.pixels[1], 5);
    }

    #[test]
    fn no_two_colors_have_the_same_name() {
        let mut names = COLOR_NAMES.to_vec();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), COLORS.len());
    }

    #[test]
    fn a_clear_removes_all_earlier_pixels_once() {
        let mut board = Board::new();
        board.reset("one");
        let pixel = |color: u8| json!({"x": 1, "y": 0, "color": color, "by": "me"});
        let clear = json!({"clear": true, "by": "me"});

        board.apply(&publication(1, &pixel(5)));
        board.apply(&publication(2, &clear));
        assert_eq!(board.pixels, vec![BLANK; SIDE * SIDE]);
        board.apply(&publication(
            3,
            &json!({"x": 1, "y": 0, "color": 7, "by": "painter 1", "background": true}),
        ));
        board.apply(&publication(2, &clear));

        assert_eq!(board.pixels[1], 7);
    }

    fn publication(offset: u64, data: &Value) -> Publication {
        Publication {
            offset,
            data: data.to_string().into(),
            ..Publication::default()
        }
    }
}
