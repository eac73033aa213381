#!/usr/bin/env python3
"""Runs the Autobahn cases for RFC 6455 against a WebSocket server and a WebSocket client, and counts.

Needs only Python 3.11: the suite itself (kosoku, pinned in requirements.txt) is used from the working copy's `.venv` if it
exists there, else it is installed into `target/venv`. Without `--server-cmd` and `--client-cmd` the two binaries of this
folder are built and tested: the codec alone over a socket, in both roles.

  tests/conformance/kosoku.py                                   sections 1 to 7 and 10, both roles
  tests/conformance/kosoku.py --sections 9                      limits and speed, minutes
  tests/conformance/kosoku.py --role server --path /echo --server-cmd "prog --listen 127.0.0.1:{port}"

The last line reads `kosoku: N passed, N failed`. The exit code is 0 only if cases ran and all of them passed, 1 if
one failed, 2 if the suite could not be run.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECTIONS = "1-7,10"

# The suite's results of a case and of its close that count as passed. All other results are failures.
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
CLOSED_WELL = {"OK", "INFORMATIONAL"}

# The least number of cases of each section; fewer mean that cases were not run.
CASES_MIN = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}

READY_SECONDS = 30
STOP_SECONDS = 10


class CannotRun(Exception):
    """The suite could not be run; the text is the reason."""


def main():
    options = parse_options()
    try:
        sections = parse_sections(options.sections)
        suite = find_suite()
        failed = passed = 0
        for role in ["server", "client"] if options.role == "both" else [options.role]:
            cases = run_role(role, suite, sections, options)
            bad = print_table(role, sections, cases)
            passed, failed = passed + len(cases) - bad, failed + bad
    except CannotRun as error:
        print(f"kosoku: {error}", file=sys.stderr)
        return 2
    print(f"kosoku: {passed} passed, {failed} failed")
    return 1 if failed else 0


def parse_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--role", choices=["server", "client", "both"], default="both", help="the role under test")
    parser.add_argument("--sections", default=SECTIONS, help=f"for example 1-7,10 (default {SECTIONS})")
    parser.add_argument("--server-cmd", help="starts the server under test; {port} becomes a free port")
    parser.add_argument("--path", default="/", help="path of the echo endpoint (default /)")
    parser.add_argument("--client-cmd", help="starts the client under test; {port} becomes the suite's port")
    parser.add_argument("--parallel", type=int, default=4, help="cases at a time against a server (default 4)")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one role (default 600)")
    parser.add_argument("--out", type=Path, help="keeps the suite's reports in this folder")
    return parser.parse_args()


def parse_sections(text):
    sections = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            sections += range(int(first), int(last or first) + 1)
        except ValueError:
            raise CannotRun(f"--sections: `{part}` is neither a number nor a range") from None
    unknown = [section for section in sections if section not in CASES_MIN]
    if unknown:
        known = ", ".join(map(str, CASES_MIN))
        raise CannotRun(f"--sections: {unknown[0]} is not one of {known}; compression is not negotiated")
    return sections


def find_suite():
    """Returns the suite's program; installs it once if no environment has it."""
    own = ROOT / "target" / "venv"
    for folder in [ROOT / ".venv" / "bin", own / "bin"]:
        if (folder / "kosoku").exists():
            return folder / "kosoku"
    print(f"installing {HERE.name}/requirements.txt into {own.relative_to(ROOT)}", flush=True)
    venv.create(own, with_pip=True)
    pip = [own / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--requirement", HERE / "requirements.txt"]).returncode:
        shutil.rmtree(own)
        raise CannotRun("failed to install the suite")
    return own / "bin" / "kosoku"


def run_role(role, suite, sections, options):
    """Runs the suite and returns its report: case id to (behaviour, behaviour of the close)."""
    include = [argument for section in sections for argument in ("-i", f"{section}.*")]
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "suite.log"
        reports = options.out / role if options.out else Path(scratch)
        index = reports / "index.json"
        index.unlink(missing_ok=True)
        begin = time.monotonic()
        if role == "server":
            test_server(suite, include, reports, log, options)
        else:
            test_client(suite, include, reports, log, options)
        if not index.exists():
            raise CannotRun(f"the suite wrote no report for the {role}: {log.read_text().strip()}")
        agents = json.loads(index.read_text())
    print(f"{role}: the suite took {time.monotonic() - begin:.1f} s")
    return {
        case: (outcome["behavior"], outcome["behaviorClose"])
        for outcomes in agents.values()
        for case, outcome in outcomes.items()
    }


def test_server(suite, include, reports, log, options):
    port = free_port()
    command = options.server_cmd or f"{shlex.quote(str(build() / 'echo-server'))} 127.0.0.1:{{port}}"
    with started(with_port(command, port), "the server") as server:
        wait_for_port(port, server)
        address = f"ws://127.0.0.1:{port}{options.path}"
        suite_command = [suite, "-m", "fuzzingclient", "-p", str(options.parallel), "-o", reports, *include, address]
        with started(suite_command, "the suite", log) as running:
            finish(running, options.limit, "the suite")
        if server.poll() is not None:
            raise CannotRun(f"the server ended during the suite, with exit code {server.returncode}")


def test_client(suite, include, reports, log, options):
    port = free_port()
    command = options.client_cmd or f"{shlex.quote(str(build() / 'echo-client'))} 127.0.0.1:{{port}} steadfast"
    suite_command = [suite, "-m", "fuzzingserver", "-o", reports, *include, f"127.0.0.1:{port}"]
    with started(suite_command, "the suite", log) as running:
        wait_for_port(port, running)
        with started(with_port(command, port), "the client") as client:
            if finish(client, options.limit, "the client"):
                raise CannotRun(f"the client ended with exit code {client.returncode}")
        finish(running, STOP_SECONDS, "the suite")


def build():
    """Builds the two binaries and returns their folder."""
    # The examples and the whole workspace, because then the dependencies have the features that they have in tests.
    selection = ["--quiet", "--workspace", "--bin", "echo-server", "--bin", "echo-client", "--examples"]
    if subprocess.run(["cargo", "build", *selection], cwd=ROOT).returncode:
        raise CannotRun("failed to build the binaries of this folder")
    query = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    metadata = subprocess.run(query, cwd=ROOT, check=True, capture_output=True)
    return Path(json.loads(metadata.stdout)["target_directory"]) / "debug"


def with_port(command, port):
    return [word.replace("{port}", str(port)) for word in shlex.split(command)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(command, name, log=None):
    """Starts a program in a separate process group and always ends the group."""
    words = [os.fspath(word) for word in command]
    try:
        with open(log, "wb") if log else nullcontext() as output:
            process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    except OSError as error:
        raise CannotRun(f"failed to start {name}: {error}") from None
    try:
        yield process
    finally:
        for sign in [signal.SIGTERM, signal.SIGKILL]:
            if process.poll() is None:
                os.killpg(process.pid, sign)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue


def wait_for_port(port, process):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CannotRun(f"{process.args[0]} ended with exit code {process.returncode} before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise CannotRun(f"timed out after {READY_SECONDS} s waiting for {process.args[0]} to listen on port {port}")


def finish(process, limit, name):
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"timed out after {limit} s waiting for {name} to end") from None


def print_table(role, sections, cases):
    """Prints one line per section and each case that failed; returns how many failed."""
    failures = 0
    for section in sections:
        of_section = {case: words for case, words in cases.items() if case.startswith(f"{section}.")}
        if len(of_section) < CASES_MIN[section]:
            raise CannotRun(f"{role}: only {len(of_section)} cases of section {section} were run")
        bad = {
            case: words
            for case, words in of_section.items()
            if words[0] not in PASSED or words[1] not in CLOSED_WELL
        }
        words = ", ".join(f"{count} {word}" for word, count in sorted(Counter(w[0] for w in of_section.values()).items()))
        print(f"{role}  section {section:>2}  {len(of_section):>3} cases  {words}")
        for case, (behaviour, close) in sorted(bad.items()):
            print(f"{role}  FAILED {case}: {behaviour}, close {close}")
        failures += len(bad)
    return failures


if __name__ == "__main__":
    sys.exit(main())
