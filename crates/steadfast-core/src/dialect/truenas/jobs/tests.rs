//! Jobs in virtual time, with the server's side played by the test.

use super::*;
use crate::dialect::jsonrpc::ErrorObject;

const SCRUB: &str = "pool.scrub.scrub";
const KEY: JobKey = JobKey(1);

struct Script {
    jobs: Jobs,
    now: Instant,
    /// Calls without a reply: method and params.
    calls: Vec<(CallToken, String, String)>,
    progress: Vec<u8>,
    ends: Vec<(JobKey, JobEnd)>,
}

/// A job as the server shows it.
#[derive(Clone)]
struct Entry {
    id: u64,
    message_ids: &'static str,
    method: &'static str,
    arguments: &'static str,
    state: &'static str,
    percent: u8,
    started_at: Option<i64>,
    more: &'static str,
}

fn entry(state: &'static str, percent: u8) -> Entry {
    Entry {
        id: 7,
        message_ids: "[]",
        method: SCRUB,
        arguments: r#"["tank"]"#,
        state,
        percent,
        started_at: (state != "WAITING").then_some(1_000),
        more: "",
    }
}

impl Entry {
    fn json(&self) -> String {
        let Self {
            id,
            message_ids,
            method,
            arguments,
            state,
            percent,
            started_at,
            more,
        } = self;
        let started_at = started_at.map_or("null".to_owned(), |at| format!(r#"{{"$date":{at}}}"#));
        format!(
            r#"{{"id":{id},"message_ids":{message_ids},"method":"{method}","arguments":{arguments},"state":"{state}",
            "progress":{{"percent":{percent},"description":"x","extra":null}},"time_started":{started_at}{more}}}"#
        )
    }
}

fn success() -> Entry {
    Entry {
        more: r#","result":{"a":1}"#,
        ..entry("SUCCESS", 100)
    }
}

impl Script {
    /// Changes arrive, and there is no job.
    fn new(reply: JobReply) -> Self {
        let mut script = Self {
            jobs: Jobs::new(reply),
            now: Instant::START,
            calls: Vec::new(),
            progress: Vec::new(),
            ends: Vec::new(),
        };
        script.handle(Input::Connected);
        script.handle(Input::ChangesBegan);
        script
    }

    /// The call of a job has no reply yet.
    fn starting() -> Self {
        let mut script = Self::new(JobReply::Id);
        script.start(KEY);
        script
    }

    /// The id of the job is 7, and it was seen running.
    fn running() -> Self {
        let mut script = Self::starting();
        script.reply(SCRUB, "7");
        script.reply(
            "core.get_jobs",
            &format!("[{}]", entry("RUNNING", 0).json()),
        );
        script
    }

    fn start(&mut self, key: JobKey) {
        self.handle(Input::StartRequested {
            key,
            method: SCRUB.to_owned(),
            params: Bytes::from_static(br#"["tank"]"#),
        });
    }

    fn handle(&mut self, input: Input) {
        self.jobs.handle(self.now, input);
        while let Some(output) = self.jobs.poll_output() {
            match output {
                Output::Call {
                    token,
                    method,
                    params,
                    ..
                } => {
                    let params = String::from_utf8_lossy(&params).into_owned();
                    self.calls.push((token, method, params));
                }
                Output::Progressed(_, progress) => self.progress.push(progress.percent),
                Output::Ended(key, end) => self.ends.push((key, end)),
            }
        }
    }

    fn change(&mut self, entry: &Entry) {
        let (id, fields) = (entry.id, entry.json());
        let text = format!(
            r#"{{"msg":"changed","collection":"core.get_jobs","id":{id},"fields":{fields}}}"#
        );
        self.handle(Input::Changed(Bytes::from(text)));
    }

    /// Replies to the oldest call of a method.
    fn reply(&mut self, method: &str, result: &str) {
        let outcome = Ok(Bytes::copy_from_slice(result.as_bytes()));
        self.reply_with(method, outcome);
    }

    fn reply_with(&mut self, method: &str, outcome: Result<Bytes, CallError>) {
        let index = self.calls.iter().position(|(_, it, _)| it == method);
        let (token, ..) = self.calls.remove(index.expect("the call"));
        self.handle(Input::Replied { token, outcome });
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.jobs.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    fn reconnect(&mut self) {
        self.handle(Input::ConnectionLost);
        self.handle(Input::ChangesInterrupted);
        self.handle(Input::Connected);
        self.handle(Input::ChangesBegan);
    }

    /// The connection is lost, and there is another one; there is no subscription to the changes.
    fn reconnect_without_changes(&mut self) {
        self.handle(Input::ConnectionLost);
        self.handle(Input::Connected);
    }

    /// A job whose id is known, and which was not seen; there is no subscription to the changes.
    fn unseen() -> Self {
        let mut script = Self::new(JobReply::Id);
        script.handle(Input::ChangesInterrupted);
        script.start(KEY);
        script.reply(SCRUB, "7");
        script
    }

    /// The newest request of an entry has this reply.
    fn show(&mut self, entry: &Entry) {
        let index = self.calls.iter().rposition(|it| it.1 == "core.get_jobs");
        let (token, ..) = self.calls.remove(index.expect("the call"));
        let outcome = Ok(Bytes::from(format!("[{}]", entry.json())));
        self.handle(Input::Replied { token, outcome });
    }

    /// The methods of the calls without a reply.
    fn methods(&self) -> Vec<&str> {
        self.calls.iter().map(|(_, it, _)| it.as_str()).collect()
    }

    #[track_caller]
    fn check_end(&self, end: &JobEnd) {
        assert_eq!(self.ends, [(KEY, end.clone())]);
        assert!(self.jobs.is_empty());
        assert!(self.jobs.early.is_empty());
        assert_eq!(self.jobs.poll_timeout(), None);
    }
}

fn result() -> JobEnd {
    JobEnd::Success(Bytes::from_static(br#"{"a":1}"#))
}

fn interrupted(maybe_executed: bool) -> Result<Bytes, CallError> {
    Err(CallError::Interrupted { maybe_executed })
}

#[test]
fn a_job_reports_its_progress_and_its_result_once() {
    let mut script = Script::starting();
    assert_eq!(script.calls[0].1, SCRUB);
    assert_eq!(script.calls[0].2, r#"["tank"]"#);

    script.reply(SCRUB, "7");
    script.change(&entry("WAITING", 0));
    script.change(&entry("RUNNING", 0));
    script.change(&entry("RUNNING", 25));
    script.change(&entry("RUNNING", 25));
    script.change(&success());
    script.change(&success());

    assert_eq!(script.progress, [0, 0, 25]);
    script.check_end(&result());
}

#[test]
fn changes_before_the_reply_count() {
    let mut script = Script::starting();
    script.change(&entry("RUNNING", 50));
    script.change(&Entry {
        id: 8,
        ..entry("RUNNING", 75)
    });
    assert_eq!(script.progress, [0; 0]);
    script.reply(SCRUB, "7");
    assert_eq!(script.progress, [50]);

    let mut script = Script::starting();
    script.change(&entry("RUNNING", 50));
    script.change(&success());
    script.reply(SCRUB, "7");
    script.check_end(&result());
}

#[test]
fn of_many_changes_before_the_reply_only_the_newest_are_kept() {
    let mut script = Script::starting();
    for id in 0..1_000 {
        script.change(&Entry {
            id,
            ..entry("RUNNING", 50)
        });
    }
    assert_eq!(script.jobs.early.len(), EARLY_MAX);
    script.reply(SCRUB, "999");
    assert_eq!(script.progress, [50]);
    assert_eq!(script.jobs.early.len(), 0);
}

#[test]
fn without_a_change_the_entry_is_requested_at_once_and_then_seldom() {
    let mut script = Script::starting();
    script.reply(SCRUB, "7");
    assert_eq!(script.calls[0].2, r#"[[["id","=",7]]]"#);
    for percent in 0..4 {
        let list = format!("[{}]", entry("RUNNING", percent).json());
        script.reply("core.get_jobs", &list);
        script.advance(POLL_INTERVAL.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(script.methods(), [""; 0]);
        script.advance(Duration::from_nanos(1));
        assert_eq!(script.methods(), ["core.get_jobs"]);
    }
    script.reply("core.get_jobs", &format!("[{}]", success().json()));
    script.check_end(&result());
}

#[test]
fn each_end_of_a_job_is_reported_as_such() {
    let failed = Entry {
        more: r#","error":"[EEXIST] x","exc_info":{"errno":17,"extra":null,"repr":"secret"}"#,
        ..entry("FAILED", 10)
    };
    let mut script = Script::running();
    script.change(&failed);
    let [(_, JobEnd::Failed(error))] = script.ends.as_slice() else {
        panic!("{:?}", script.ends);
    };
    assert_eq!(error.errno, Some(super::super::Errno::EXISTS));
    assert!(!format!("{:?}", script.ends).contains("secret"));

    let mut script = Script::running();
    script.change(&entry("ABORTED", 10));
    script.check_end(&JobEnd::Aborted);

    let mut script = Script::running();
    script.change(&entry("NEW STATE", 10));
    assert!(script.ends.is_empty());
}

#[test]
fn a_call_without_an_id_ends_as_what_is_known_of_it() {
    let rejected = ErrorObject::new(-32_602, "Invalid params");
    let busy = CallError::ServerBusy;
    for (outcome, end) in [
        (
            Err(CallError::Rejected(rejected.clone())),
            JobEnd::Failed(ApiError::from(&rejected)),
        ),
        (interrupted(true), JobEnd::Unknown),
        (
            Err(CallError::TimedOut {
                maybe_executed: true,
            }),
            JobEnd::Unknown,
        ),
        (Err(CallError::UnexpectedReply), JobEnd::Unknown),
        (Err(busy.clone()), JobEnd::NotStarted(busy)),
        (
            interrupted(false),
            JobEnd::NotStarted(CallError::Interrupted {
                maybe_executed: false,
            }),
        ),
        // The method is no job.
        (Ok("null".into()), JobEnd::Success("null".into())),
    ] {
        let mut script = Script::starting();
        script.change(&entry("RUNNING", 50));
        script.reply_with(SCRUB, outcome);
        script.check_end(&end);
    }
}

#[test]
fn after_a_new_connection_the_same_job_continues() {
    let mut script = Script::running();
    script.change(&entry("RUNNING", 25));
    script.reconnect();
    assert!(script.methods().contains(&"core.get_jobs"));

    script.calls.drain(..script.calls.len() - 1);
    let list = format!("[{}]", entry("RUNNING", 75).json());
    script.reply("core.get_jobs", &list);
    script.change(&success());

    assert_eq!(script.progress, [0, 25, 75]);
    script.check_end(&result());
}

#[test]
fn after_a_restart_the_id_of_another_job_is_not_taken_for_this_one() {
    let others = [
        Entry {
            method: "pool.export",
            ..success()
        },
        Entry {
            arguments: r#"["boot"]"#,
            ..success()
        },
        Entry {
            started_at: Some(1_001),
            ..success()
        },
        entry("WAITING", 0),
    ];
    for other in others {
        // Its entry is requested, or it changes before the reply.
        let mut script = Script::running();
        script.reconnect();
        script.calls.drain(..script.calls.len() - 1);
        script.reply("core.get_jobs", &format!("[{}]", other.json()));
        script.check_end(&JobEnd::Lost);

        let mut script = Script::running();
        script.reconnect();
        script.change(&other);
        script.check_end(&JobEnd::Lost);
    }
    let mut script = Script::running();
    script.reconnect();
    script.calls.drain(..script.calls.len() - 1);
    script.reply("core.get_jobs", "[]");
    script.check_end(&JobEnd::Lost);
}

/// The reply with the id was received, and the connection is lost before the job was seen.
#[test]
fn a_job_that_was_never_seen_is_recognized_by_what_was_sent() {
    for (arguments, is_same) in [(r#"["tank"]"#, true), (r#"["boot"]"#, false)] {
        let mut script = Script::starting();
        script.handle(Input::ChangesInterrupted);
        script.reply(SCRUB, "7");
        script.handle(Input::ChangesBegan);
        script.change(&Entry {
            arguments,
            ..success()
        });
        script.check_end(&if is_same { result() } else { JobEnd::Lost });
    }
    // On one connection the server may show other arguments, for example without a password.
    let mut script = Script::starting();
    script.reply(SCRUB, "7");
    script.change(&Entry {
        arguments: r#"["********"]"#,
        ..success()
    });
    script.check_end(&result());
}

#[test]
fn without_changes_a_loss_is_noticed_and_another_job_with_the_id_is_not_taken_for_the_own() {
    let other = Entry {
        started_at: Some(2_000),
        ..success()
    };
    let mut script = Script::running();
    script.handle(Input::ChangesInterrupted);
    script.reconnect_without_changes();
    script.handle(Input::AbortRequested(KEY));
    assert!(!script.methods().contains(&"core.job_abort"));
    script.show(&other);
    script.check_end(&JobEnd::Lost);

    for arguments in [r#"["tank"]"#, r#"["boot"]"#] {
        let mut script = Script::unseen();
        script.reconnect_without_changes();
        script.show(&Entry {
            arguments,
            ..success()
        });
        let is_own = arguments == r#"["tank"]"#;
        script.check_end(&if is_own { result() } else { JobEnd::Lost });
    }
}

#[test]
fn a_replaced_connection_is_noticed_without_changes() {
    let mut script = Script::unseen();
    script.handle(Input::Connected);
    assert_eq!(script.methods(), ["core.get_jobs", "core.get_jobs"]);
    script.show(&Entry {
        arguments: r#"["boot"]"#,
        ..success()
    });
    script.check_end(&JobEnd::Lost);
}

#[test]
fn a_loss_requests_each_entry_once_however_it_is_noticed() {
    let mut script = Script::running();
    script.reconnect();
    assert_eq!(script.methods(), ["core.get_jobs"]);
}

#[test]
fn a_job_that_was_not_seen_is_not_one_that_was_started_before_its_call() {
    for (started_at, is_own) in [(Some(999), false), (Some(1_000), true), (None, true)] {
        let mut script = Script::running();
        script.handle(Input::Withdrawn(KEY));
        script.start(KEY);
        script.reply(SCRUB, "7");
        script.reconnect_without_changes();
        script.show(&Entry {
            started_at,
            ..success()
        });
        script.check_end(&if is_own { result() } else { JobEnd::Lost });
    }
}

#[test]
fn after_a_restart_a_job_that_was_not_seen_is_lost_with_one_that_was() {
    let mut script = Script::running();
    script.start(JobKey(2));
    script.reply(SCRUB, "8");
    script.reconnect_without_changes();
    script.change(&Entry {
        started_at: Some(2_000),
        ..entry("RUNNING", 0)
    });
    assert_eq!(
        script.ends,
        [(KEY, JobEnd::Lost), (JobKey(2), JobEnd::Lost)]
    );
}

/// The server hides secrets, and adds arguments that have a default.
#[test]
fn a_job_is_recognized_although_the_server_shows_other_arguments_than_were_sent() {
    let sent = r#"["tank",{"key":"secret","size":1,"of":[{"a":1,"b":2}]}]"#;
    for (shown, is_own) in [
        (
            r#"["tank",{"key":"********","size":1,"of":[{"a":1,"b":2}],"more":null}]"#,
            true,
        ),
        (
            r#"["tank",{"key":"********","size":1,"of":[{"a":"********","b":2,"c":3}]},false]"#,
            true,
        ),
        (r#"["********","********"]"#, true),
        (
            r#"["tank",{"key":"********","size":2,"of":[{"a":1,"b":2}]}]"#,
            false,
        ),
        (r#"["tank",{"key":"********","of":[{"a":1,"b":2}]}]"#, false),
        (
            r#"["tank",{"key":"********","size":1,"of":[{"a":1,"b":2},1]}]"#,
            false,
        ),
        (r#"["tank"]"#, false),
        ("null", false),
    ] {
        let mut script = Script::new(JobReply::Id);
        script.handle(Input::StartRequested {
            key: KEY,
            method: SCRUB.to_owned(),
            params: sent.into(),
        });
        script.reply(SCRUB, "7");
        script.reconnect_without_changes();
        script.show(&Entry {
            arguments: shown,
            ..success()
        });
        script.check_end(&if is_own { result() } else { JobEnd::Lost });
    }
}

#[test]
fn a_job_continues_if_a_later_entry_hides_an_argument() {
    for (later, is_own) in [
        (r#"[{"a":"********"}]"#, true),
        (r#""********""#, true),
        (r#"[{"a":2}]"#, false),
        (r#"[{"a":1,"b":1}]"#, false),
        (r#"[{"a":1},1]"#, false),
    ] {
        let mut script = Script::starting();
        script.reply(SCRUB, "7");
        let with = |entry, arguments| Entry { arguments, ..entry };
        script.change(&with(entry("RUNNING", 1), r#"[{"a":1}]"#));
        script.change(&with(success(), later));
        script.check_end(&if is_own { result() } else { JobEnd::Lost });
    }
}

#[test]
fn a_reply_from_before_an_interruption_says_nothing() {
    let mut script = Script::starting();
    script.reply(SCRUB, "7");
    script.reconnect();
    assert_eq!(script.methods(), ["core.get_jobs", "core.get_jobs"]);

    script.reply("core.get_jobs", "[]");
    assert!(script.ends.is_empty());
    script.reply("core.get_jobs", &format!("[{}]", success().json()));
    script.check_end(&result());
}

#[test]
fn a_failed_request_of_the_entry_is_repeated_later() {
    let mut script = Script::starting();
    script.handle(Input::ChangesInterrupted);
    script.reply(SCRUB, "7");
    for outcome in [interrupted(false), Ok("1".into()), Err(CallError::Busy)] {
        script.reply_with("core.get_jobs", outcome);
        assert_eq!(script.methods(), [""; 0]);
        script.advance(POLL_INTERVAL_WITHOUT_CHANGES);
    }
    assert_eq!(script.methods(), ["core.get_jobs"]);
    assert!(script.ends.is_empty());
}

#[test]
fn an_abort_waits_until_the_job_is_known_to_be_the_same() {
    let mut script = Script::starting();
    script.handle(Input::AbortRequested(KEY));
    assert_eq!(script.methods(), [SCRUB]);
    script.reply(SCRUB, "7");
    assert!(script.methods().contains(&"core.job_abort"));

    let mut script = Script::running();
    script.reconnect();
    script.handle(Input::AbortRequested(KEY));
    assert!(!script.methods().contains(&"core.job_abort"));
    script.change(&entry("RUNNING", 50));
    let aborts = script.calls.iter().filter(|it| it.1 == "core.job_abort");
    let aborts: Vec<&str> = aborts.map(|it| it.2.as_str()).collect();
    assert_eq!(aborts, ["[7]"]);
    script.reply_with("core.job_abort", Err(CallError::Closed));
    script.change(&entry("ABORTED", 50));
    script.check_end(&JobEnd::Aborted);

    let mut script = Script::running();
    script.reconnect();
    script.handle(Input::AbortRequested(KEY));
    script.change(&Entry {
        started_at: Some(2_000),
        ..entry("RUNNING", 0)
    });
    assert!(!script.methods().contains(&"core.job_abort"));
    script.check_end(&JobEnd::Lost);
}

#[test]
fn if_the_reply_is_the_result_the_id_is_learnt_from_a_change_that_names_the_request() {
    let named = |state, percent| Entry {
        message_ids: r#"["a",3]"#,
        ..entry(state, percent)
    };
    let sent = |script: &mut Script| {
        let (token, ..) = script.calls[0];
        let message_id = Value::from(3);
        script.handle(Input::Sent { token, message_id });
    };
    let mut script = Script::new(JobReply::Result);
    script.start(KEY);
    sent(&mut script);
    script.change(&entry("RUNNING", 1));
    script.change(&named("RUNNING", 50));
    assert_eq!(script.progress, [50]);
    script.reply(SCRUB, r#"{"a":1}"#);
    script.change(&success());
    script.check_end(&result());

    // The connection is lost, and the id is known: the job continues.
    let mut script = Script::new(JobReply::Result);
    script.start(KEY);
    sent(&mut script);
    script.change(&named("RUNNING", 50));
    script.reply_with(SCRUB, interrupted(true));
    assert!(script.ends.is_empty());
    script.reconnect();
    script.change(&success());
    script.check_end(&result());

    // It is not known.
    let mut script = Script::new(JobReply::Result);
    script.start(KEY);
    sent(&mut script);
    script.reply_with(SCRUB, interrupted(true));
    script.check_end(&JobEnd::Unknown);
}

#[test]
fn equal_jobs_of_the_application_may_be_one_at_the_server() {
    let mut script = Script::starting();
    script.start(JobKey(2));
    script.reply(SCRUB, "7");
    script.reply(SCRUB, "7");
    script.change(&success());

    assert_eq!(script.ends, [(KEY, result()), (JobKey(2), result())]);
}

#[test]
fn a_withdrawn_job_is_forgotten_and_too_many_are_not_started() {
    let mut script = Script::running();
    script.handle(Input::Withdrawn(KEY));
    script.change(&success());
    assert!(script.ends.is_empty());

    let count = u64::try_from(JOBS_MAX).expect("a small number");
    for key in 0..count {
        script.start(JobKey(key));
    }
    assert!(script.ends.is_empty());
    script.start(JobKey(count));
    let busy = JobEnd::NotStarted(CallError::Busy);
    assert_eq!(script.ends, [(JobKey(count), busy)]);
    assert_eq!(script.jobs.len(), JOBS_MAX);
}

#[test]
fn changes_of_another_form_have_no_effect() {
    let mut script = Script::running();
    for params in [
        "1",
        r#"{"msg":"removed","id":7}"#,
        r#"{"msg":"changed","id":7,"fields":{"id":7}}"#,
        r#"{"msg":"changed","id":7,"fields":[]}"#,
    ] {
        script.handle(Input::Changed(params.into()));
    }
    assert!(script.ends.is_empty());
    assert_eq!(script.jobs.len(), 1);
}
