//! The documents, and what their commands must print. A command that is not listed must only succeed.

/// A document and the expected output of its commands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// From the project's root.
    pub(super) path: &'static str,
    /// Commands as they are written, each with texts that its output contains.
    pub(super) outputs: &'static [(&'static str, &'static [&'static str])],
    /// Whether the gateway is killed at the end: all programs that still run must receive a later message.
    pub(super) is_killed: bool,
    /// Whether each section continues in the folder of the one before, instead of in the clone.
    pub(super) has_one_folder: bool,
}

pub(super) const DOCUMENTS: [Document; 7] = [
    Document {
        path: "README.md",
        outputs: &[
            (
                "target/release/steadfast connect ws://127.0.0.1:8000 --subscribe news",
                &["hello"],
            ),
            (
                "target/release/steadfast connect ws://127.0.0.1:8000 --publish news '{\"text\": \"hello\"}'",
                &["acknowledged at offset 1"],
            ),
            (
                "node news.mjs",
                &["connecting:", "connected", "{ text: 'hello' }"],
            ),
            (
                "cargo run",
                &["Connected", "Acknowledgement", "Subscribed", "Publication"],
            ),
        ],
        is_killed: true,
        has_one_folder: false,
    },
    Document {
        path: "docs/guide.md",
        outputs: &[
            ("curl -i http://127.0.0.1:8000/readyz", &["200 OK"]),
            (
                "steadfast connect ws://127.0.0.1:8000 --subscribe lobby",
                &["hello"],
            ),
            (
                "steadfast connect ws://127.0.0.1:8000 --publish lobby '{\"text\": \"hello\"}'",
                &["acknowledged at offset 1"],
            ),
            (
                "node idempotent.mjs",
                &["duplicate: false", "duplicate: true"],
            ),
            (
                "steadfast log verify /var/lib/steadfast",
                &["/var/lib/steadfast is intact"],
            ),
        ],
        is_killed: false,
        has_one_folder: false,
    },
    Document {
        path: "docs/lab.md",
        outputs: &[(
            "cargo run --release --bin steadfast -- lab run scenarios/gateway-kill.toml",
            &["PASS"],
        )],
        is_killed: false,
        has_one_folder: false,
    },
    Document {
        path: "docs/how-to/broken-links.md",
        outputs: &[
            (
                "steadfast proxy inspect gateway",
                &["latency_downstream", "latency=200"],
            ),
            ("node --test dead-link.test.mjs", &["pass 1", "fail 0"]),
            ("python3 test_reset.py", &["OK"]),
            ("cargo test", &["1 passed"]),
        ],
        is_killed: false,
        has_one_folder: false,
    },
    Document {
        path: "docs/how-to/json-rpc.md",
        outputs: &[
            ("steadfast call ws://127.0.0.1:9000 add '[1, 2]'", &["3"]),
            (
                "steadfast call ws://127.0.0.1:9000 status --class read --raw",
                &["0 orders"],
            ),
            (
                "echo '{\"name\": \"a\"}' | steadfast call ws://127.0.0.1:9000 create - --json",
                &["{\"outcome\":\"result\",\"result\":1}"],
            ),
            (
                "sh order.sh create_and_crash",
                &["no reply: is the order there?", "ordered"],
            ),
            (
                "steadfast call ws://127.0.0.1:9000 status --login login --key-file key",
                &["\"2 orders\""],
            ),
        ],
        is_killed: false,
        has_one_folder: true,
    },
    Document {
        path: "docs/how-to/bridge.md",
        outputs: &[
            (
                "steadfast call unix:nas.sock pool.query --json",
                &["\"outcome\":\"result\"", "tank"],
            ),
            (
                "steadfast call unix:nas.sock bridge.status",
                &["\"state\":\"connected\""],
            ),
            (
                "sh create.sh tank/lost",
                &["no reply: does the dataset exist?", "created tank/lost"],
            ),
            ("python3 nas.py", &["pool tank"]),
            ("perl nas.pl", &["host truenas"]),
            ("python3 events.py", &["subscribed", "added tank/event"]),
        ],
        is_killed: false,
        has_one_folder: false,
    },
    Document {
        path: "docs/how-to/bridge-go.md",
        outputs: &[
            ("go run nas.go tank/go", &["created tank/go"]),
            (
                "go run nas.go tank/lost",
                &["no reply: does the dataset exist?", "created tank/lost"],
            ),
        ],
        is_killed: false,
        has_one_folder: true,
    },
];

/// The pages about servers that the project emulates.
pub(super) const EMULATED: [Document; 3] = [
    Document {
        path: "docs/reference/truenas-emulator.md",
        outputs: &[
            ("curl http://127.0.0.1:6000/_emulator/journal", &["[]"]),
            (
                "steadfast call --ca nas.pem wss://127.0.0.1:6001/api/current core.ping",
                &["pong"],
            ),
        ],
        is_killed: false,
        has_one_folder: true,
    },
    Document {
        path: "docs/how-to/truenas.md",
        outputs: &[
            (
                "steadfast call ws://127.0.0.1:6000/api/current core.ping",
                &["\"pong\""],
            ),
            (
                "steadfast call ws://nas.invalid/api/current core.ping --timeout 2 || echo \"exit code $?\"",
                &["nas.invalid", "exit code 8"],
            ),
            (
                "steadfast call ws://127.0.0.1:6099/api/current core.ping --timeout 2 || echo \"exit code $?\"",
                &["connection refused by 127.0.0.1:6099", "exit code 8"],
            ),
            (
                "steadfast call ws://127.0.0.1:6002/api/current core.ping || echo \"exit code $?\"",
                &["closed by the server with code 1008", "exit code 9"],
            ),
            (
                "steadfast call wss://127.0.0.1:6001/api/current core.ping || echo \"exit code $?\"",
                &[
                    "an authority that this system does not trust",
                    "exit code 8",
                ],
            ),
            (
                "steadfast call --ca nas.pem wss://127.0.0.1:6001/api/current core.ping",
                &["\"pong\""],
            ),
            (
                "steadfast call ws://127.0.0.1:6000/api/current pool.query --class read --login auth.login_with_api_key --key-file key",
                &["tank"],
            ),
            (
                "steadfast call ws://127.0.0.1:6000/api/current pool.query --class read --login auth.login_with_api_key --key-file wrong || echo \"exit code $?\"",
                &[
                    "login refused by the server: auth.login_with_api_key: the credentials are invalid",
                    "exit code 8",
                ],
            ),
            (
                "steadfast call ws://127.0.0.1:6000/api/current pool.query --class read || echo \"exit code $?\"",
                &["ENOTAUTHENTICATED", "exit code 1"],
            ),
        ],
        is_killed: false,
        has_one_folder: false,
    },
    Document {
        path: "docs/how-to/expired-session.md",
        outputs: &[
            (
                "python3 before.py",
                &[
                    "pool.query before: ok",
                    "ping of the connection: True",
                    "core.ping: ok",
                    "pool.query: failed: ENOTAUTHENTICATED, 207",
                    "pool.query again: failed: ENOTAUTHENTICATED, 207",
                ],
            ),
            (
                "python3 after.py",
                &[
                    "core.ping: ok",
                    "the session has expired: logging in again",
                    "pool.query: ok",
                    "pool.query again: ok",
                ],
            ),
            (
                "steadfast call ws://127.0.0.1:6000/api/current pool.query --class read --login auth.login_with_api_key --key-file key",
                &["tank"],
            ),
        ],
        is_killed: false,
        has_one_folder: true,
    },
];

/// The page with a service and a client of its own; two runs of the lab, which mostly wait.
pub(super) const OWN_SERVICE: [Document; 1] = [Document {
    path: "docs/how-to/your-own-service.md",
    outputs: &[
        (
            "steadfast lab check counter.toml",
            &[
                "proc.kill counter:1",
                "conn.reset adders->counter:1",
                "net.block adders->counter:1",
            ],
        ),
        (
            "steadfast lab run counter.toml",
            &["checks: 6 of 6 held", "PASS  counter"],
        ),
        (
            "steadfast lab run counter.toml || echo \"exit code $?\"",
            &[
                "checks: 5 of 6 held",
                "FAILS  every-addition-acknowledged",
                "FAIL  counter",
                "exit code 1",
            ],
        ),
    ],
    is_killed: false,
    has_one_folder: true,
}];
