"""Uses a bridge with PyPI `pytruenas`, as if its socket were that of the server, and prints what the client observes.

Arguments: the path of the bridge's socket, and the URL of the emulated server.
`tests/e2e` starts both and compares the result.
"""

import json
import sys
import threading
import urllib.parse
import urllib.request

from pytruenas import ClientException, TrueNASWSConnection

SOCKET, URL = sys.argv[1:]
CALLS = 30


def connect():
    return TrueNASWSConnection(f"ws+unix://{SOCKET}", call_timeout=20)


def error_of(function):
    try:
        function()
    except ClientException as error:
        return {"type": type(error).__name__, "errno": error.errno, "text": str(error)}
    return None


def control(action):
    address = urllib.parse.urlsplit(URL).netloc
    request = urllib.request.Request(f"http://{address}/_emulator/{action}", method="POST")
    urllib.request.urlopen(request, timeout=20).close()


def subscription(connection, other):
    """An event that another program has caused."""
    received = []
    arrived = threading.Event()

    def on_event(event):
        received.append([event.collection, event.msg, event.id])
        arrived.set()

    connection.subscribe("pool.dataset.query", on_event)
    other.call("pool.dataset.create", {"name": "tank/event"})
    arrived.wait(20)
    # Without the events of what follows.
    return list(received)


def parallel_calls(connection):
    """More calls than the server permits at a time: the bridge lets them wait."""
    outcomes = []
    threads = [
        threading.Thread(
            target=lambda: outcomes.append(error_of(lambda: connection.call("pool.query")))
        )
        for _ in range(CALLS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [len(outcomes), [outcome for outcome in outcomes if outcome]]


def main():
    result = {}
    with connect() as connection, connect() as other:
        result["pool"] = connection.call("pool.query")[0]["name"]
        result["user"] = connection.call("auth.me")["pw_name"]
        result["unknown"] = error_of(lambda: connection.call("no.method"))
        result["subscription"] = subscription(connection, other)
        result["parallel"] = parallel_calls(connection)
        control("lose-reply/pool.dataset.create")
        name = {"name": "tank/lost"}
        result["lost"] = error_of(lambda: connection.call("pool.dataset.create", name))
        # The same connection of the program, and another one of the bridge.
        found = connection.call("pool.dataset.query", [["id", "=", "tank/lost"]])
        result["found"] = [item["id"] for item in found]
    print(json.dumps(result))


main()
