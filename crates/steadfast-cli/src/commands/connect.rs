//! `steadfast connect`: a session through the client library. Input lines are commands; events are printed on standard
//! output, and the state of the connection on standard error.
//!
//! A terminal is served until the user ends it, so a first connection that fails is retried. A script gets a failure
//! instead, unless `--wait` says how long it may take. After the first connection, the session always reconnects.

mod connection;
mod input;
mod printer;
mod render;
mod session;

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;

use steadfast::centrifuge::{Client, Driver};
use steadfast::error::EndpointError;
use steadfast::{BackoffSettings, Endpoint, defaults};
use tokio::sync::mpsc;

use self::connection::{Connection, ConnectionFailure, Patience};
use self::input::{Payload, QUOTE_HELP};
use self::printer::Printer;
use self::render::EventOutput;
use self::session::{InputKind, Session};
use crate::args::Connect;
use crate::exit::Failure;
use crate::output;
use crate::signals::Signals;

/// Capacity of the queue of lines to print; senders wait when it is full.
const OUTPUT_QUEUE_LEN_MAX: usize = 1_024;
/// Longest wait for the session to close at exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// At most 5 s between two attempts: an operator who restarts a gateway waits for it.
const BACKOFF: BackoffSettings = defaults::BACKOFF.cap(Duration::from_secs(5));

/// Runs until `/quit`, the end of the input or a signal, the acknowledgement of the `--publish` message, or the end of
/// standard output.
///
/// # Errors
///
/// When an argument is invalid, there is no connection, the session fails permanently, or a publication is not
/// acknowledged.
pub(crate) fn run(arguments: &Connect) -> Result<(), Failure> {
    let outcome = Request::new(arguments).and_then(serve);
    if let (Err(failure), true) = (&outcome, arguments.json) {
        // A closed pipe is no further failure.
        let _ = output::print_next(&EventOutput::failed(&failure.reason()).json);
    }
    outcome
}

/// A command with valid arguments.
struct Request {
    endpoint: Endpoint,
    client: Client,
    driver: Driver,
    subscribe: Vec<String>,
    publish: Option<(String, Payload)>,
    patience: Patience,
    is_json: bool,
}

impl Request {
    fn new(arguments: &Connect) -> Result<Self, Failure> {
        let invalid_url = |error: String| {
            Failure::usage(error, "For example: steadfast connect ws://127.0.0.1:8000")
        };
        let endpoint: Endpoint = arguments
            .url
            .parse()
            .map_err(|error: EndpointError| invalid_url(error.to_string()))?;
        let (client, driver) = Client::builder(&arguments.url)
            .map(|builder| builder.name("steadfast-cli").backoff(BACKOFF))
            .and_then(steadfast::Builder::build)
            .map_err(|error| invalid_url(error.to_string()))?;
        let publish = match arguments.publish.as_deref() {
            Some([channel, data]) => Some((channel.clone(), payload(channel, data)?)),
            Some(_) | None => None,
        };
        let is_watched = io::stdin().is_terminal() || io::stdout().is_terminal();
        let patience = match arguments.wait {
            Some(seconds) => Patience::For(Duration::from_secs(seconds)),
            None if is_watched && publish.is_none() => Patience::Unlimited,
            None => Patience::For(Duration::ZERO),
        };
        Ok(Self {
            endpoint,
            client,
            driver,
            subscribe: arguments.subscribe.clone(),
            publish,
            patience,
            is_json: arguments.json,
        })
    }
}

/// Checks the message of `--publish` before anything is sent.
fn payload(channel: &str, data: &str) -> Result<Payload, Failure> {
    if channel.is_empty() {
        return Err(Failure::usage(
            "invalid channel of --publish: must not be empty",
            "For example: --publish lobby '{\"text\": \"hello\"}'",
        ));
    }
    Payload::parse(data).map_err(|error| {
        Failure::usage(
            format!("invalid message of --publish: {error}"),
            QUOTE_HELP.replacen('t', "T", 1),
        )
    })
}

/// Where input lines come from. A device that is no terminal has none: supervisors and `&` in a script connect standard
/// input to /dev/null.
fn input_kind() -> InputKind {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return InputKind::Terminal;
    }
    let file_type = stdin
        .as_fd()
        .try_clone_to_owned()
        .and_then(|file| std::fs::File::from(file).metadata())
        .map(|metadata| metadata.file_type());
    match file_type {
        Ok(kind) if !kind.is_char_device() => InputKind::Pipe,
        Ok(_) | Err(_) => InputKind::None,
    }
}

fn serve(request: Request) -> Result<(), Failure> {
    output::detach_messages()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    let (lines, outputs) = mpsc::channel(OUTPUT_QUEUE_LEN_MAX);
    let mut printer = Printer::start(outputs, request.is_json)?;
    let outcome = runtime.block_on(run_session(request, lines, &mut printer));
    // Ends the tasks that send lines. A read of standard input that does not return must not delay the exit.
    runtime.shutdown_background();
    printer.finish();
    outcome
}

async fn run_session(
    request: Request,
    lines: mpsc::Sender<EventOutput>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let client = request.client;
    let events = client.events();
    tokio::spawn(request.driver);
    let input = match request.publish {
        Some(_) => InputKind::None,
        None => input_kind(),
    };
    let mut session = Session::new(client.clone(), lines, input);
    for channel in request.subscribe {
        session.subscribe(channel);
    }
    let connection = Connection {
        client: &client,
        endpoint: &request.endpoint,
        patience: request.patience,
        suffix: match input {
            InputKind::Terminal => "; /help lists the commands",
            InputKind::Pipe | InputKind::None => "",
        },
    };
    let outcome = tokio::select! {
        failure = connection.watch(events) => Err(failure),
        () = printer.ended() => Ok(()),
        () = signals.next() => Ok(()),
        outcome = execute(&mut session, request.publish) => outcome,
    };
    // An unresponsive gateway must not delay the exit.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, client.close(Duration::ZERO)).await;
    session.finish_events().await;
    match (outcome, session.problem()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(problem)) => Err(Failure::failed(problem, "")),
        (Err(failure), None) => Err(Failure::failed(failure.error, failure.hint)),
        (Err(failure), Some(problem)) => {
            let error = format!("{}; {problem}", failure.error);
            Err(Failure::failed(error, failure.hint))
        }
    }
}

/// Publishes the message of the command, or else executes input lines.
async fn execute(
    session: &mut Session,
    publish: Option<(String, Payload)>,
) -> Result<(), ConnectionFailure> {
    let Some((channel, payload)) = publish else {
        session.run().await;
        return Ok(());
    };
    let outcome = session.publish_once(&channel, &payload).await;
    outcome.map_err(|error| ConnectionFailure {
        error,
        hint: String::new(),
    })?;
    if payload.is_text {
        output::message(&format!(
            "not JSON; published as the string {}",
            payload.json
        ));
    }
    Ok(())
}
