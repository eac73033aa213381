//! All exit codes, and the message that is printed on failure.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::StyledStr;
use steadfast_gateway::error::ServeError;
use steadfast_gateway::listen::ListenError;
use steadfast_lab::error::LabError;

use crate::output::{self, Colours};

/// Any failure without a dedicated code.
const FAILED: u8 = 1;
/// Invalid arguments or configuration.
const USAGE: u8 = 2;
/// Another process is listening on the port.
const PORT_IN_USE: u8 = 3;
/// The data directory is locked, full, read-only, corrupt or missing.
const DATA_DIRECTORY: u8 = 4;

/// A write or a sync of the log failed while the gateway was serving; a restart reads what is stored.
const STORAGE_FAILED: u8 = 6;

/// The run of a scenario proves nothing: no conclusion is possible.
const INCONCLUSIVE: u8 = 2;
/// The scenario or the stored run is invalid, or something that it requires is missing.
const SCENARIO: u8 = 5;
/// The lab itself failed, so there is no verdict. A verdict of FAIL has code 1.
const LAB_FAILED: u8 = 7;
/// A signal ended the run of a scenario early; 128 and the number of SIGINT, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// A call was not sent to its server, so it was not executed.
const NOT_EXECUTED: u8 = 8;
/// A call was sent to its server, and there is no reply: it may have been executed.
const MAYBE_EXECUTED: u8 = 9;

/// Why a command failed, and the exit code. Help is reported this way too, with code 0.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: Text,
}

#[derive(Debug)]
enum Text {
    /// Help or version, for standard output.
    Help(StyledStr),
    /// The complete error message for invalid arguments.
    Arguments(StyledStr),
    /// The message is printed already.
    Reported,
    /// An error, and a hint on what to do, which may be empty.
    Error { error: String, hint: String },
}

impl Failure {
    /// Not a failure: the text is what the user requested.
    pub(crate) const fn help(text: StyledStr) -> Self {
        Self {
            code: 0,
            text: Text::Help(text),
        }
    }

    /// The arguments are invalid; the text is rendered already.
    pub(crate) const fn usage_styled(text: StyledStr) -> Self {
        Self {
            code: USAGE,
            text: Text::Arguments(text),
        }
    }

    /// A setting is invalid.
    pub(crate) fn usage(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// The data directory is corrupt or cannot be used.
    pub(crate) fn data_directory(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: DATA_DIRECTORY,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// Another process is listening on the port.
    pub(crate) fn port_in_use(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: PORT_IN_USE,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// A call was not sent, so it was not executed.
    pub(crate) fn not_executed(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: NOT_EXECUTED,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// A call was sent and has no reply: it may have been executed.
    pub(crate) fn maybe_executed(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: MAYBE_EXECUTED,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// A scenario is invalid, or something that it requires is missing.
    pub(crate) fn scenario(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: SCENARIO,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// The lab itself failed: its results cannot be stored, or the system refused what it needs.
    pub(crate) fn lab_failed(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: LAB_FAILED,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    /// The verdict of a run is FAIL; its report is printed.
    pub(crate) fn verdict_fail(hint: impl Into<String>) -> Self {
        Self::failed("the verdict is FAIL", hint)
    }

    /// The verdict of a run is INCONCLUSIVE; its report is printed.
    pub(crate) fn verdict_inconclusive(hint: impl Into<String>) -> Self {
        Self {
            code: INCONCLUSIVE,
            text: Text::Error {
                error: "the verdict is INCONCLUSIVE: the run proves nothing".to_owned(),
                hint: hint.into(),
            },
        }
    }

    /// A scenario cannot run on this machine, for these reasons.
    pub(crate) fn skipped(reasons: &[String]) -> Self {
        let reasons = reasons.join("\n  and: ");
        Self::scenario(
            format!("SKIP: this machine lacks what the scenario requires\n  because: {reasons}"),
            "",
        )
    }

    /// The message is printed already.
    pub(crate) const fn reported(code: u8) -> Self {
        Self {
            code,
            text: Text::Reported,
        }
    }

    /// A scenario could not be executed; its directory has the logs.
    pub(crate) fn from_lab(error: &LabError, folder: &Path) -> Self {
        let code = if matches!(error, LabError::Interrupted) {
            INTERRUPTED
        } else {
            SCENARIO
        };
        let logs = format!("The logs are in {}", folder.display());
        let hint = match error.help() {
            help if help.is_empty() => logs,
            help => format!("{help}\n{logs}"),
        };
        Self {
            code,
            text: Text::Error {
                error: with_causes(error),
                hint,
            },
        }
    }

    /// The same failure for programs that know one exit code for all failures.
    pub(crate) fn with_one_code(mut self) -> Self {
        self.code = self.code.min(FAILED);
        self
    }

    /// Returns the reason in plain text.
    pub(crate) fn reason(&self) -> String {
        match &self.text {
            Text::Help(text) | Text::Arguments(text) => text.to_string(),
            Text::Error { error, .. } => error.clone(),
            Text::Reported => String::new(),
        }
    }

    /// Any other failure.
    pub(crate) fn failed(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            text: Text::Error {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let code = if matches!(error, ServeError::Config(_)) {
            USAGE
        } else if matches!(error, ServeError::Listen(ListenError::PortInUse { .. })) {
            PORT_IN_USE
        } else if matches!(error, ServeError::Log(_)) {
            DATA_DIRECTORY
        } else if matches!(error, ServeError::StorageFailed { .. }) {
            STORAGE_FAILED
        } else {
            FAILED
        };
        Self {
            code,
            text: Text::Error {
                error: with_causes(&error),
                hint: error.help(),
            },
        }
    }
}

/// Prints the message of a failure and returns the exit code.
pub(crate) fn finish(outcome: Result<(), Failure>, colours: Colours) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    match failure.text {
        Text::Help(text) => output::print_styled(&text, colours),
        Text::Arguments(text) => output::print_error_styled(&text, colours),
        Text::Error { error, hint } => output::print_error(&error, &hint),
        Text::Reported => {}
    }
    ExitCode::from(failure.code)
}

/// The error, followed by one line for each cause.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  because: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_has_a_dedicated_exit_code_and_a_hint() {
        let address = "127.0.0.1:8000".parse().unwrap();

        let failure = Failure::from(ServeError::from(ListenError::PortInUse { address }));

        assert_eq!(failure.code, PORT_IN_USE);
        let Text::Error { error, hint } = failure.text else {
            panic!("no error text")
        };
        assert_eq!(
            error,
            "cannot listen on 127.0.0.1:8000: another process is listening there"
        );
        assert_eq!(
            hint,
            "Stop the other process, or choose another port: PORT=8001 steadfast serve"
        );
    }
}
