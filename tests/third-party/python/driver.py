"""Owns clients of PyPI `centrifuge-python` and executes the harness's commands, one JSON object per line (see ../README.md).

It makes no decisions: no retry, no reconnect, no memory of publications. Those belong to the SDK or the harness.
"""

import asyncio
import json
import sys

from centrifuge import (
    Client,
    ClientDisconnectedError,
    ClientEventHandler,
    OperationTimeoutError,
    ReplyError,
    StreamPosition,
    SubscriptionEventHandler,
)

clients: dict[str, Client] = {}

# The longest line that the harness may send, in bytes.
LINE_BYTES_MAX = 1 << 20

# Lines are written once per event loop iteration, so that a burst of publications is one write.
unsent: list[str] = []


def flush() -> None:
    sys.stdout.write("".join(unsent))
    sys.stdout.flush()
    unsent.clear()


def send(line: dict) -> None:
    if not unsent:
        asyncio.get_running_loop().call_soon(flush)
    unsent.append(json.dumps(line, separators=(",", ":")) + "\n")


def failure(cause: Exception) -> dict:
    if isinstance(cause, ReplyError):
        return {"kind": "server", "code": cause.code, "message": str(cause)}
    message = f"{type(cause).__name__}: {cause}"
    lost = isinstance(cause, (OperationTimeoutError, ClientDisconnectedError, ConnectionError))
    return {"kind": "lost" if lost else "rejected", "message": message}


class ClientEvents(ClientEventHandler):
    def __init__(self, name: str) -> None:
        self.name = name

    def report(self, event: str, **fields) -> None:
        send({"event": event, "client": self.name, **fields})

    async def on_connecting(self, ctx) -> None:
        self.report("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx) -> None:
        self.report("connected", client_id=ctx.client)

    async def on_disconnected(self, ctx) -> None:
        self.report("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx) -> None:
        self.report("warning", channel=None, code=ctx.code, message=str(ctx.error))


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self, name: str, channel: str) -> None:
        self.name = name
        self.channel = channel

    def report(self, event: str, **fields) -> None:
        send({"event": event, "client": self.name, "channel": self.channel, **fields})

    async def on_subscribing(self, ctx) -> None:
        self.report("subscribing", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx) -> None:
        position = ctx.stream_position or StreamPosition(offset=0, epoch="")
        self.report(
            "subscribed",
            was_recovering=ctx.was_recovering,
            recovered=ctx.recovered,
            recoverable=ctx.recoverable,
            offset=position.offset,
            epoch=position.epoch,
        )

    async def on_unsubscribed(self, ctx) -> None:
        self.report("unsubscribed", code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx) -> None:
        publisher = ctx.pub.info.client if ctx.pub.info else None
        self.report("publication", offset=ctx.pub.offset or 0, data=ctx.pub.data, publisher=publisher)

    async def on_join(self, ctx) -> None:
        self.report("join", client_id=ctx.info.client)

    async def on_leave(self, ctx) -> None:
        self.report("leave", client_id=ctx.info.client)

    async def on_error(self, ctx) -> None:
        self.report("warning", code=ctx.code, message=str(ctx.error))


async def open_client(command: dict) -> dict:
    name = command["client"]
    if name not in clients:
        # A proxy from the environment must not be used.
        clients[name] = Client(
            command["url"], events=ClientEvents(name), name="third-party-python", proxy=None
        )
    await clients[name].connect()
    return {}


async def subscribe(client: Client, command: dict) -> dict:
    channel = command["channel"]
    known = client.get_subscription(channel)
    if known is None:
        if command.get("since"):
            raise ValueError("this SDK cannot begin at a position")
        recoverable = bool(command.get("recoverable"))
        known = client.new_subscription(
            channel,
            events=SubscriptionEvents(command["client"], channel),
            recoverable=recoverable,
            positioned=recoverable,
            join_leave=bool(command.get("join_leave")),
            data=command.get("data"),
        )
    await known.subscribe()
    return {}


async def unsubscribe(client: Client, command: dict) -> dict:
    known = client.get_subscription(command["channel"])
    if known is not None:
        await known.unsubscribe()
    return {}


async def history(client: Client, command: dict) -> dict:
    since = command.get("since")
    result = await client.history(
        command["channel"],
        limit=command["limit"],
        since=StreamPosition(since["offset"], since["epoch"]) if since else None,
        reverse=bool(command.get("reverse")),
    )
    publications = [{"offset": p.offset or 0, "data": p.data} for p in result.publications]
    return {"offset": result.offset, "epoch": result.epoch, "publications": publications}


async def execute(command: dict) -> dict:
    if command["do"] == "open":
        return await open_client(command)
    client = clients.get(command["client"])
    if client is None:
        raise ValueError(f"no client named {command['client']}")
    match command["do"]:
        case "close":
            await client.disconnect()
            return {}
        case "subscribe":
            return await subscribe(client, command)
        case "unsubscribe":
            return await unsubscribe(client, command)
        case "publish":
            await client.publish(command["channel"], command["data"])
            return {}
        case "rpc":
            return {"data": (await client.rpc(command["method"], command["data"])).data}
        case "history":
            return await history(client, command)
        case "presence":
            return {"clients": list((await client.presence(command["channel"])).clients)}
        case "presence_stats":
            stats = await client.presence_stats(command["channel"])
            return {"num_clients": stats.num_clients, "num_users": stats.num_users}
        case unknown:
            raise ValueError(f"unknown command {unknown}")


async def respond(command: dict) -> None:
    try:
        send({"id": command["id"], "ok": await execute(command)})
    except Exception as cause:  # any exception of the SDK is a response
        send({"id": command["id"], "error": failure(cause)})


async def main() -> None:
    lines = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    send({"event": "ready", "driver": "python"})
    running: set[asyncio.Task] = set()
    while line := await lines.readline():
        task = asyncio.create_task(respond(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    flush()


asyncio.run(main())
