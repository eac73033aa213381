"""Creates datasets over a bridge, and prints the name and the outcome of each, until its input ends.

Arguments: the kind of client, and the path of the bridge's socket.
The kind is `pytruenas`, the client of PyPI, or `async`, several calls at a time over PyPI `websockets`.
Both connect again whenever their connection has ended, as a program has to. `tests/e2e` ends servers and bridges.
"""

import asyncio
import itertools
import json
import logging
import sys
import threading
import time

from pytruenas import ClientException, ConnectError, TrueNASWSConnection
from pytruenas.exceptions import ConnectionClosed
from websockets.asyncio.client import unix_connect
from websockets.exceptions import WebSocketException

KIND, SOCKET = sys.argv[1:]
PAUSE = 0.01
TASKS = 4
METHOD = "pool.dataset.create"

has_ended = threading.Event()
numbers = itertools.count(1)


def wait_for_the_end():
    sys.stdin.read()
    has_ended.set()


def report(name, outcome):
    print(name, outcome, flush=True)


def outcome_of_text(text):
    """What the words of an error of the bridge say, for a client that does not hand on its data."""
    if text.startswith("The call was not sent"):
        return "not_sent"
    if text.startswith("The connection to the server was lost after the call was sent"):
        return "interrupted"
    if text.startswith("The call was sent"):
        return "timed_out"
    return text


def create(connection, name):
    try:
        connection.call(METHOD, {"name": name})
        return "executed"
    except ConnectionClosed as closed:
        return "unknown" if closed.sent else "not_sent"
    except ClientException as error:
        return outcome_of_text(str(error))


def with_pytruenas():
    logging.disable()
    while not has_ended.is_set():
        try:
            connection = TrueNASWSConnection(f"ws+unix://{SOCKET}", call_timeout=60).connect()
        except (OSError, ConnectError):
            time.sleep(PAUSE)
            continue
        with connection:
            while not has_ended.is_set() and not connection._closed.is_set():
                name = f"tank/pytruenas-{next(numbers)}"
                report(name, create(connection, name))


async def call(socket, pending, name):
    """One call of several over the same connection; returns whether the connection is open."""
    number = next(numbers)
    params = [{"name": name}]
    request = {"jsonrpc": "2.0", "id": number, "method": METHOD, "params": params}
    reply = pending[number] = asyncio.get_running_loop().create_future()
    try:
        await socket.send(json.dumps(request))
        message = await reply
    except (OSError, WebSocketException):
        # The connection may have ended after the request was written.
        report(name, "unknown")
        return False
    error = message.get("error")
    report(name, error["data"]["outcome"] if error else "executed")
    return True


async def receive(socket, pending):
    try:
        async for text in socket:
            message = json.loads(text)
            pending.pop(message["id"]).set_result(message)
    except (OSError, WebSocketException):
        pass
    for reply in pending.values():
        if not reply.done():
            reply.set_exception(OSError("the connection has ended"))


async def calls(socket, pending):
    is_open = True
    while is_open and not has_ended.is_set():
        is_open = await call(socket, pending, f"tank/async-{next(numbers)}")


async def with_asyncio():
    while not has_ended.is_set():
        try:
            socket = await unix_connect(SOCKET, uri="ws://localhost/api/current")
        except (OSError, EOFError, WebSocketException):
            await asyncio.sleep(PAUSE)
            continue
        pending = {}
        receiver = asyncio.create_task(receive(socket, pending))
        await asyncio.gather(*(calls(socket, pending) for _ in range(TASKS)))
        await socket.close()
        await receiver


threading.Thread(target=wait_for_the_end, daemon=True).start()
if KIND == "pytruenas":
    with_pytruenas()
else:
    asyncio.run(with_asyncio())
