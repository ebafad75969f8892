"""Fresh programs that make one call and print its result, by row. Runs in: bench/run.py."""

from endpoints import Endpoint
from processes import BENCH

__all__ = [
    "FUNCTIONS",
    "HOSTS",
    "PAIR",
    "first_bridge",
    "first_embedded",
    "first_http_client",
    "first_js_host",
    "first_jshost",
    "first_mini_racer",
    "first_pair",
    "first_pythonmonkey",
    "first_raw",
]

HOSTS = BENCH / "hosts"
FUNCTIONS = str(HOSTS / "functions.cjs")
PAIR = str(HOSTS / "bare_pair.cjs")


def first_raw(endpoint: Endpoint) -> str:
    where = repr(endpoint.path) if endpoint.path else f'("127.0.0.1", {endpoint.port})'
    family = "AF_UNIX" if endpoint.path else "AF_INET"
    return f"""\
import json, socket
connection = socket.socket(socket.{family})
connection.connect({where})
body = json.dumps({{"x": 1}}).encode()
head = b"POST /function/tiny HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: "
connection.sendall(b"%b%d\\r\\n\\r\\n%b" % (head, len(body), body))
received = b""
while b"\\r\\n\\r\\n" not in received or received.endswith(b"\\r\\n\\r\\n"):
    received += connection.recv(65536)
print(json.loads(received.split(b"\\r\\n\\r\\n", 1)[1]), flush=True)
"""


def first_http_client(endpoint: Endpoint) -> str:
    return f"""\
import http.client, json
connection = http.client.HTTPConnection("127.0.0.1", {endpoint.port})
connection.request("POST", "/function/tiny", json.dumps({{"x": 1}}).encode())
print(json.loads(connection.getresponse().read()), flush=True)
"""


def first_bridge(_: Endpoint) -> str:
    return f"""\
from javascript import require
print(require({FUNCTIONS!r}).tiny({{"x": 1}}), flush=True)
"""


def first_js_host(_: Endpoint) -> str:
    return f"""\
from js_host.conf import settings
settings.configure(SOURCE_ROOT={str(BENCH)!r}, CONFIG_FILE="hosts/peer.config.js", VERBOSITY=0)
from js_host.function import Function
print(Function("tiny").call(x=1), flush=True)
"""


def first_jshost(endpoint: Endpoint) -> str:
    return f"""\
import jshost
jshost.settings.configure(ROOT_URL={endpoint.url!r})
print(jshost.Function("tiny").call(x=1), flush=True)
"""


def first_embedded(config: str) -> str:
    return f"""\
import jshost
host = jshost.embedded({config!r})
print(host.tiny(x=1), flush=True)
"""


def first_pair(_: Endpoint) -> str:
    return f"""\
import json, os, socket, struct
ours, theirs = socket.socketpair()
os.set_inheritable(theirs.fileno(), True)
os.posix_spawnp("node", ["node", {PAIR!r}, str(theirs.fileno())], os.environ)
theirs.close()
body = json.dumps(["tiny", {{"x": 1}}]).encode()
ours.sendall(struct.pack("<I", len(body)) + body)
print(json.loads(ours.recv(65536)[4:]), flush=True)
"""


def first_pythonmonkey(_: Endpoint) -> str:
    return f"""\
import pythonmonkey
print(pythonmonkey.require({FUNCTIONS!r}).tiny({{"x": 1}}), flush=True)
"""


def first_mini_racer(_: Endpoint) -> str:
    return f"""\
from py_mini_racer import MiniRacer
context = MiniRacer()
text = open({FUNCTIONS!r}).read()
context.eval(f"var module = {{{{}}}}; {{text}}; Object.assign(globalThis, module.exports);")
print(context.eval('tiny({{"x": 1}})'), flush=True)
context.close()
"""
