//! The files of `--report`: the extension of a file selects its format.

use std::path::PathBuf;

/// A format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportFormat {
    Text,
    Json,
    Junit,
    Html,
}

impl ReportFormat {
    /// Every format with the name of its file in the directory of a run.
    pub(crate) const FILES: [(Self, &'static str); 4] = [
        (Self::Text, "report.txt"),
        (Self::Json, "report.json"),
        (Self::Junit, "report.xml"),
        (Self::Html, "report.html"),
    ];
}

/// A file to which a report is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportFile {
    pub(crate) path: PathBuf,
    pub(crate) format: ReportFormat,
}

/// Parses the path of a report. Its folder must exist, so that a long run does not end without its report.
pub(super) fn report_file(text: &str) -> Result<ReportFile, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().and_then(|it| it.to_str());
    let format = match extension {
        Some("html") => ReportFormat::Html,
        Some("xml") => ReportFormat::Junit,
        Some("json") => ReportFormat::Json,
        Some("txt") => ReportFormat::Text,
        Some(_) | None => {
            return Err("must end with .html, .xml (JUnit), .json or .txt".to_owned());
        }
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(format!("the directory {} does not exist", folder.display()))
        }
        Some(_) | None => Ok(ReportFile { path, format }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_selects_the_format() {
        for (format, name) in ReportFormat::FILES {
            assert_eq!(report_file(name).unwrap().format, format, "{name}");
        }
        for name in ["report", "report.pdf", "html", ".html", ""] {
            let error = report_file(name).unwrap_err();
            assert_eq!(error, "must end with .html, .xml (JUnit), .json or .txt");
        }
    }

    #[test]
    fn the_directory_of_the_file_must_exist() {
        assert!(report_file("/tmp/report.html").is_ok());
        assert_eq!(
            report_file("/nonexistent/report.html").unwrap_err(),
            "the directory /nonexistent does not exist"
        );
    }
}
