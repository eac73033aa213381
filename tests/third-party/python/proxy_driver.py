"""Executes calls of PyPI `toxiproxy-python`: one JSON object per line on stdin, its outcome on stdout.

Called without arguments: the client uses port 8474, which is its default.
The calls are those of the README; `tests/e2e` sends them.
"""

import json
import sys

from toxiproxy import Toxiproxy

TOXIPROXY = Toxiproxy()


def view(proxy):
    return {key: getattr(proxy, key) for key in ("name", "listen", "upstream", "enabled")}


def toxic_view(toxic):
    return toxic and {
        key: getattr(toxic, key) for key in ("name", "type", "stream", "toxicity", "attributes")
    }


def proxy_of(call):
    proxy = TOXIPROXY.get_proxy(call["proxy"])
    if proxy is None:
        raise LookupError("proxy not found")
    return proxy


def update(call):
    proxy = proxy_of(call)
    if call["body"] == {"enabled": True}:
        proxy.enable()
    elif call["body"] == {"enabled": False}:
        proxy.disable()
    else:
        raise ValueError("this client changes only whether a proxy is enabled")
    return view(proxy_of(call))


def add_toxic(call):
    proxy = proxy_of(call)
    body = call["body"]
    proxy.add_toxic(**body)
    stream = body.get("stream", "downstream")
    return toxic_view(proxy.get_toxic(body.get("name", "%s_%s" % (body["type"], stream))))


def down(call):
    with proxy_of(call).down() as proxy:
        is_down = not TOXIPROXY.get_proxy(proxy.name).enabled
    return is_down and TOXIPROXY.get_proxy(proxy.name).enabled


CALLS = {
    "running": lambda call: TOXIPROXY.running(),
    "version": lambda call: TOXIPROXY.version().decode(),
    "create": lambda call: view(TOXIPROXY.create(**call["body"])),
    "get": lambda call: view(proxy_of(call)),
    "list": lambda call: [view(proxy) for proxy in TOXIPROXY.proxies().values()],
    "populate": lambda call: [view(proxy) for proxy in TOXIPROXY.populate(call["body"])],
    "update": update,
    "down": down,
    "remove": lambda call: TOXIPROXY.destroy(proxy_of(call)) and None,
    "remove_all": lambda call: TOXIPROXY.destroy_all(),
    "reset": lambda call: TOXIPROXY.reset() and None,
    "add_toxic": add_toxic,
    "list_toxics": lambda call: [toxic_view(it) for it in proxy_of(call).toxics().values()],
    "get_toxic": lambda call: toxic_view(proxy_of(call).get_toxic(call["toxic"])),
    "remove_toxic": lambda call: proxy_of(call).destroy_toxic(call["toxic"]) and None,
}


for line in sys.stdin:
    request = json.loads(line)
    try:
        outcome = {"ok": CALLS[request["do"]](request)}
    except Exception as error:  # pylint: disable=broad-except
        outcome = {"error": "%s: %s" % (type(error).__name__, error)}
    print(json.dumps(outcome), flush=True)
