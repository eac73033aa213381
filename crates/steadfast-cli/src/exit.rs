//! Every exit code, once, and what is said on the way out.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::builder::StyledStr;
use steadfast_gateway::error::ServeError;
use steadfast_gateway::listen::ListenError;
use steadfast_lab::error::LabError;

use crate::output::{self, Colours};

/// Something failed that has no code of its own.
const FAILED: u8 = 1;
/// The arguments or the configuration cannot be used.
const USAGE: u8 = 2;
/// Another process listens on the port.
const PORT_IN_USE: u8 = 3;
/// The data directory is locked, full, read-only, damaged or not there.
const DATA_DIRECTORY: u8 = 4;

/// The run of a scenario proves nothing either way.
const INCONCLUSIVE: u8 = 2;
/// The scenario, or what it needs here, cannot be used.
const SCENARIO: u8 = 5;

/// Why a command ends early, and with which code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: Text,
}

#[derive(Debug)]
enum Text {
    /// What was asked for: help or version, to standard output.
    Wanted(StyledStr),
    /// What is wrong with the arguments, in full.
    Arguments(StyledStr),
    /// What happened, and what to do.
    Error { what: String, advice: String },
}

impl Failure {
    /// No failure: what was asked for is the text itself.
    pub(crate) const fn told(text: StyledStr) -> Self {
        Self {
            code: 0,
            text: Text::Wanted(text),
        }
    }

    /// The arguments cannot be understood.
    pub(crate) const fn usage_styled(text: StyledStr) -> Self {
        Self {
            code: USAGE,
            text: Text::Arguments(text),
        }
    }

    /// A setting cannot be used.
    pub(crate) fn usage(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            text: Text::Error {
                what: what.into(),
                advice: advice.into(),
            },
        }
    }

    /// The data directory is damaged.
    pub(crate) fn data_directory(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: DATA_DIRECTORY,
            text: Text::Error {
                what: what.into(),
                advice: advice.into(),
            },
        }
    }

    /// A scenario cannot be used, or what it needs is not here.
    pub(crate) fn scenario(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: SCENARIO,
            text: Text::Error {
                what: what.into(),
                advice: advice.into(),
            },
        }
    }

    /// The verdict of a run is FAIL; its report is printed.
    pub(crate) fn verdict_fail(again: &str) -> Self {
        Self::failed("the verdict is FAIL", format!("Run it again: {again}"))
    }

    /// The verdict of a run is INCONCLUSIVE; its report is printed.
    pub(crate) fn verdict_inconclusive(again: &str) -> Self {
        Self {
            code: INCONCLUSIVE,
            text: Text::Error {
                what: "the verdict is INCONCLUSIVE: the run proves nothing either way".to_owned(),
                advice: format!("Run it again: {again}"),
            },
        }
    }

    /// A scenario could not be carried out.
    pub(crate) fn from_lab(error: &LabError) -> Self {
        let advice = "Look into the logs in the folder of the run.";
        Self::scenario(with_causes(error), advice)
    }

    /// Anything else.
    pub(crate) fn failed(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            text: Text::Error {
                what: what.into(),
                advice: advice.into(),
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
        } else {
            FAILED
        };
        Self {
            code,
            text: Text::Error {
                what: with_causes(&error),
                advice: error.advice(),
            },
        }
    }
}

/// Says what is to be said and returns the code.
pub(crate) fn finish(outcome: Result<(), Failure>, colours: Colours) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    match failure.text {
        Text::Wanted(text) => output::print_styled(&text, colours),
        Text::Arguments(text) => output::complain_styled(&text, colours),
        Text::Error { what, advice } => output::complain(&what, &advice),
    }
    ExitCode::from(failure.code)
}

/// The error with its causes, one a line after the first.
fn with_causes(error: &dyn Error) -> String {
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
    fn a_port_in_use_has_a_code_of_its_own_and_says_what_to_do() {
        let address = "127.0.0.1:8000".parse().unwrap();

        let failure = Failure::from(ServeError::from(ListenError::PortInUse { address }));

        assert_eq!(failure.code, PORT_IN_USE);
        let Text::Error { what, advice } = failure.text else {
            panic!("no error text")
        };
        assert_eq!(
            what,
            "cannot listen on 127.0.0.1:8000: another process is listening there"
        );
        assert_eq!(
            advice,
            "Stop the other process, or choose another port: PORT=8001 steadfast serve"
        );
    }
}
