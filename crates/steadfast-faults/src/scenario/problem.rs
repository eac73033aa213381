//! What is wrong with a scenario: file, line, column, key, what to do; ready for people.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Why a scenario was refused. Its text is ready for people: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(Box<Problem>);

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `run.duration`; empty when the text is no TOML at that place.
    pub key: String,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// The place in the file, unless the value came from elsewhere.
    pub place: Option<Place>,
}

/// A place in a file, with the lines around it ready for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The drawing.
    drawn: String,
}

impl ScenarioError {
    /// Something that is wrong and stands in no file.
    pub(super) fn placeless(key: &str, message: String, help: Option<String>) -> Self {
        Self(Box::new(Problem {
            key: key.to_owned(),
            message,
            help,
            place: None,
        }))
    }

    /// What is wrong, in parts.
    pub const fn problem(&self) -> &Problem {
        &self.0
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            return f.write_str(&place.drawn);
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.help
            .iter()
            .try_for_each(|help| write!(f, "\nhelp: {help}"))
    }
}

/// The text that places are in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn refuse(
        self,
        key: &str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) -> ScenarioError {
        let (line, column) = self.position(span.start);
        let drawn = self.draw(key, &message, help.as_deref(), span);
        let place = Some(Place {
            file: self.file.to_owned(),
            line,
            column,
            drawn,
        });
        ScenarioError(Box::new(Problem {
            key: key.to_owned(),
            message,
            help,
            place,
        }))
    }

    fn draw(self, key: &str, message: &str, help: Option<&str>, span: Range<usize>) -> String {
        let title = if key.is_empty() {
            message.to_owned()
        } else {
            format!("{key}: {message}")
        };
        let snippet = Snippet::source(self.text)
            .path(self.file)
            .annotation(AnnotationKind::Primary.span(span).label(message));
        let mut group = Level::ERROR
            .no_name()
            .primary_title(title.as_str())
            .element(snippet);
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }

    fn position(self, byte: usize) -> (usize, usize) {
        let (before, _) = self.text.split_at(self.text.floor_char_boundary(byte));
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The known name that differs least, if it differs little.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below it, two names have little in common; the measure goes from 0 to 1.
    const SIMILAR: f64 = 0.75;
    let rated = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    rated
        .filter(|(similar, _)| *similar >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What to write instead of a name that is not known.
pub(super) fn instead(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or_else(
        || {
            if known.is_empty() {
                "there is none".to_owned()
            } else {
                format!("one of: {}", known.join(", "))
            }
        },
        |nearest| format!("did you mean `{nearest}`?"),
    )
}
