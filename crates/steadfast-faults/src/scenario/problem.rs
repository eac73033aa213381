//! Errors in scenarios, with file, line, column, key and help, rendered for the terminal.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Why a scenario was rejected. The text names the problem, its location and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(Box<Problem>);

/// A problem in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `run.duration`; empty when the text is not valid TOML.
    pub key: String,
    /// The problem, in one line.
    pub message: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
    /// The location in the file; `None` when the value has another source.
    pub location: Option<SourceLocation>,
}

/// A location in a file, with its line rendered for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The file name, as it was given.
    pub file: String,
    /// The line number, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    rendered: String,
}

impl ScenarioError {
    /// A problem without a location in a file.
    pub(super) fn without_location(key: &str, message: String, help: Option<String>) -> Self {
        Self(Box::new(Problem {
            key: key.to_owned(),
            message,
            help,
            location: None,
        }))
    }

    /// The parts of the error.
    pub const fn problem(&self) -> &Problem {
        &self.0
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            return f.write_str(&location.rendered);
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

/// The text of a scenario and its file name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error_at(
        self,
        key: &str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) -> ScenarioError {
        let (line, column) = self.position(span.start);
        let rendered = self.render(key, &message, help.as_deref(), span);
        let location = Some(SourceLocation {
            file: self.file.to_owned(),
            line,
            column,
            rendered,
        });
        ScenarioError(Box::new(Problem {
            key: key.to_owned(),
            message,
            help,
            location,
        }))
    }

    fn render(self, key: &str, message: &str, help: Option<&str>, span: Range<usize>) -> String {
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

/// The most similar known name, if it is similar enough.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// The minimum Jaro-Winkler similarity, from 0 to 1, for a suggestion.
    const SIMILARITY_MIN: f64 = 0.75;
    let rated = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    rated
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Help for an unknown name: the nearest known name, or all known names.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or_else(
        || {
            if known.is_empty() {
                "none is defined".to_owned()
            } else {
                format!("one of: {}", known.join(", "))
            }
        },
        |nearest| format!("did you mean `{nearest}`?"),
    )
}
