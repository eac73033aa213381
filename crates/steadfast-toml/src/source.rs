//! The text of a file: parses it, and creates the errors that show one of its lines.
//!
//! It does not read the file, and it does not know which keys are valid.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::error::{FileError, Problem, SourceLocation};

/// The text of a file and the name by which errors refer to it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name or the path, as the operator gave it.
    pub file: &'a str,
    /// The complete text, to which spans refer.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// Parses the text; the table keeps the span of each key and value.
    ///
    /// # Errors
    ///
    /// When the text is not valid TOML.
    pub fn table(self) -> Result<Spanned<DeTable<'a>>, FileError> {
        DeTable::parse(self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            self.error_at("", summary(&error).to_owned(), None, span)
        })
    }

    /// Creates the error for the bytes of `span`; `key` is empty when they belong to no key.
    pub fn error_at(
        self,
        key: &str,
        message: String,
        help: Option<String>,
        span: Range<usize>,
    ) -> FileError {
        let (line, column) = self.position(span.start);
        let mut problem = Problem {
            key: key.to_owned(),
            message,
            help,
            location: None,
        };
        problem.location = Some(SourceLocation {
            file: self.file.to_owned(),
            line,
            column,
            rendered: self.render(&problem, span),
        });
        FileError::new(problem)
    }

    fn render(self, problem: &Problem, span: Range<usize>) -> String {
        let title = problem.title();
        let mut annotation = AnnotationKind::Primary.span(span);
        // A message about several keys is too long to be repeated below the line.
        if problem.key.is_empty() || title != problem.message {
            annotation = annotation.label(problem.message.as_str());
        }
        let snippet = Snippet::source(self.text)
            .path(self.file)
            .annotation(annotation);
        let mut group = Level::ERROR
            .no_name()
            .primary_title(title.as_str())
            .element(snippet);
        if let Some(help) = problem.help.as_deref() {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }

    /// Returns the line and the column of a byte, both from 1.
    pub fn position(self, byte: usize) -> (usize, usize) {
        let (before, _) = self.text.split_at(self.text.floor_char_boundary(byte));
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The first line of a parser's message. It names the problem; the lines after it are hints.
pub fn summary(error: &Error) -> &str {
    error.message().lines().next().unwrap_or("invalid TOML")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Grüße\n[server]\nprot = 1\n";

    #[test]
    fn an_error_shows_its_line_and_what_helps() {
        let source = Source {
            file: "gateway.toml",
            text: TEXT,
        };
        let at = TEXT.find("prot").unwrap();

        let error = source.error_at(
            "server.prot",
            "unknown key `prot`".to_owned(),
            Some("did you mean `port`?".to_owned()),
            at..at + 4,
        );

        assert_eq!(
            error.to_string(),
            "server.prot: unknown key `prot`\n \
             --> gateway.toml:3:1\n  \
             |\n\
             3 | prot = 1\n  \
             | ^^^^ unknown key `prot`\n  \
             |\n  \
             = help: did you mean `port`?"
        );
    }

    #[test]
    fn a_column_counts_characters_and_a_span_inside_one_is_moved_to_its_start() {
        let source = Source {
            file: "a.toml",
            text: TEXT,
        };
        let at = TEXT.find('ß').unwrap();

        for byte in [at, at + 1] {
            assert_eq!(source.position(byte), (1, 6), "{byte}");
        }
        assert_eq!(source.position(TEXT.len() + 9), (4, 1));
    }

    #[test]
    fn text_that_is_not_toml_is_an_error_without_a_key() {
        let source = Source {
            file: "a.toml",
            text: "a = 1\nb = \n",
        };

        let error = source.table().unwrap_err();

        let problem = error.problem();
        let location = problem.location.as_ref().unwrap();
        assert_eq!(problem.key, "");
        assert_eq!((location.line, location.column), (2, 5));
        assert!(error.to_string().contains("--> a.toml:2:5"), "{error}");
    }
}
