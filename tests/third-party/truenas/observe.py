"""Uses an emulated TrueNAS with PyPI `pytruenas`, and prints what the client observes as one JSON object.

Arguments: the URL of the API, the name of the user, the password and the API key.
`tests/e2e` starts the emulator and compares the result.
"""

import json
import sys
import threading
import urllib.parse
import urllib.request

from pytruenas import APIKeyAuth, BasicAuth, ClientException, TrueNASClient, TrueNASWSConnection

URL, USER, PASSWORD, KEY = sys.argv[1:]
CALLS = 21


class Api:
    """What the credentials of the package call, over a connection of the package."""

    def __init__(self, connection, name=""):
        self.connection, self.name = connection, name

    def __getattr__(self, name):
        return Api(self.connection, self.name + name + ".")

    def __getitem__(self, name):
        return self.__getattr__(name)

    def __call__(self, *params):
        return self.connection.call(self.name[:-1], *params)


class Client:
    def __init__(self, connection):
        self.api = Api(connection)


def connect():
    return TrueNASWSConnection(URL, call_timeout=20)


def error_of(function):
    try:
        function()
    except ClientException as error:
        return {"type": type(error).__name__, "errno": error.errno, "text": str(error)}
    return None


def logins():
    with connect() as connection:
        by_key = APIKeyAuth(KEY, USER).login_ex(Client(connection))
        me = connection.call("auth.me")["pw_name"]
    with connect() as connection:
        by_password = BasicAuth(USER, PASSWORD).login_ex(Client(connection))
    with connect() as connection:
        legacy = APIKeyAuth(KEY).login(Client(connection))
    return [by_key["response_type"], by_password["response_type"], legacy, me]


def anonymous():
    with connect() as connection:
        return [connection.call("core.ping"), error_of(lambda: connection.call("pool.query"))]


def datasets(connection):
    name = {"name": "tank/observed"}
    created = connection.call("pool.dataset.create", name)["id"]
    again = error_of(lambda: connection.call("pool.dataset.create", name))
    return [created, again]


def subscription(connection):
    received = []
    arrived = threading.Event()

    def on_event(event):
        received.append([event.collection, event.msg, event.id])
        arrived.set()

    connection.subscribe("pool.dataset.query", on_event)
    connection.call("pool.dataset.create", {"name": "tank/event"})
    arrived.wait(20)
    return received


def parallel_calls(connection):
    """One call more than the server permits; none is executed before one of them is rejected."""
    outcomes = []
    has_outcome = threading.Event()

    def call():
        outcomes.append(error_of(lambda: connection.call("pool.query")))
        has_outcome.set()

    control("hold-calls")
    threads = [threading.Thread(target=call) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    has_outcome.wait(20)
    before_release = list(outcomes)
    control("release-calls")
    for thread in threads:
        thread.join()
    return [before_release, [outcome for outcome in outcomes if outcome]]


def control(action):
    address = urllib.parse.urlsplit(URL).netloc
    request = urllib.request.Request(f"http://{address}/_emulator/{action}", method="POST")
    urllib.request.urlopen(request, timeout=20).close()


def client_of_the_package():
    with TrueNASClient(URL, credentials=APIKeyAuth(KEY, USER)) as client:
        return client.api.pool.query()[0]["name"]


def main():
    result = {"logins": logins(), "anonymous": anonymous()}
    with connect() as connection:
        APIKeyAuth(KEY, USER).login_ex(Client(connection))
        result["datasets"] = datasets(connection)
        result["subscription"] = subscription(connection)
        result["rejected"] = parallel_calls(connection)
    result["client"] = client_of_the_package()
    print(json.dumps(result))


main()
