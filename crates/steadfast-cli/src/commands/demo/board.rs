//! The picture: the pixels, and the position of the last publication that was applied to them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steadfast::{Position, Publication};

/// The width and the height, in pixels.
pub(super) const SIDE: usize = 64;
/// A pixel that was never painted.
const BLANK: u8 = 255;

/// The colours by their index: sixteen that are distinguishable on a light and on a dark background.
pub(super) const COLORS: [&str; 16] = [
    "#1d1f24", "#ffffff", "#8a929e", "#d7dbe2", "#c62f3b", "#f2727a", "#e8772e", "#f6c244",
    "#2f8f4e", "#8bcf6a", "#1f7a8c", "#5cc8d7", "#2a5bd7", "#7da2f5", "#7b3fb8", "#d48be0",
];

/// The picture at the position of the last applied publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Board {
    pixels: Vec<u8>,
    position: Position,
}

/// One painted pixel, as in the data of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) color: u8,
}

impl Stroke {
    /// Parses a stroke. All participants ignore data that is not a valid stroke.
    fn parse(data: &[u8]) -> Option<Self> {
        let data: Value = serde_json::from_slice(data).ok()?;
        let number = |name: &str| usize::try_from(data.get(name)?.as_u64()?).ok();
        let stroke = Self {
            x: number("x").filter(|x| *x < SIDE)?,
            y: number("y").filter(|y| *y < SIDE)?,
            color: u8::try_from(number("color").filter(|color| *color < COLORS.len())?).ok()?,
        };
        data.get("by")?.as_str().map(|_| stroke)
    }
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            pixels: vec![BLANK; SIDE * SIDE],
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
        if let Some(stroke) = Stroke::parse(&publication.data)
            && let Some(pixel) = self.pixels.get_mut(stroke.y * SIDE + stroke.x)
        {
            *pixel = stroke.color;
        }
    }

    /// Encodes the picture for the page and for the file.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "epoch": self.position.epoch,
            "offset": self.position.offset,
            "width": SIDE,
            "height": SIDE,
            "pixels": STANDARD.encode(&self.pixels),
        })
    }

    /// Decodes the output of [`Self::to_json`]; `None` when it has another size or is invalid.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let pixels = STANDARD.decode(value.get("pixels")?.as_str()?).ok()?;
        let is_valid = pixels.len() == SIDE * SIDE
            && pixels
                .iter()
                .all(|pixel| *pixel == BLANK || usize::from(*pixel) < COLORS.len());
        is_valid.then_some(Self {
            pixels,
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
        saved["pixels"] = json!(STANDARD.encode([16; SIDE * SIDE]));
        assert_eq!(Board::from_json(&saved), None);
    }

    fn publication(offset: u64, data: &Value) -> Publication {
        Publication {
            offset,
            data: data.to_string().into(),
            ..Publication::default()
        }
    }
}
