"""Runs on a node, sent by the tests: authenticates once, makes requests, prints their answers as JSON.

Input on stdin, JSON: url, user, key, tls ({cert, key} in PEM, empty for none), name (server name), calls (method, path,
headers, body in base64). Answers: status, headers (lower-case names), body in base64 (at most `keep` bytes), seconds.
"""

import base64
import http.client
import json
import socket
import ssl
import sys
import tempfile
import time
from typing import Any
from urllib.parse import urlsplit

PLAN: dict[str, Any] = json.load(sys.stdin)


def connect() -> http.client.HTTPConnection:
    """A connection to the proxy, or to nginx with the given certificate."""
    place = urlsplit(PLAN["url"])
    if place.scheme == "http":
        return http.client.HTTPConnection(str(place.hostname), place.port, timeout=90)
    context = ssl.create_default_context(cafile="/etc/creatic/pki/ca.pem")
    if PLAN.get("tls"):
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(PLAN["tls"])
            file.flush()
            context.load_cert_chain(file.name)
    made = http.client.HTTPSConnection(PLAN["name"], 443, timeout=90, context=context)
    made.sock = context.wrap_socket(socket.create_connection((place.hostname, 443)), server_hostname=PLAN["name"])
    return made


def call(method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """One request on a connection of its own."""
    start = time.monotonic()
    try:
        connection = connect()
        length = {"Content-Length": str(len(body))} if body or method in ("PUT", "POST") else {}
        connection.request(method, path, body=body or None, headers=headers | length)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "headers": {}, "body": base64.b64encode(repr(error).encode()).decode(), "seconds": 0}
    return {
        "status": response.status,
        "headers": {key.lower(): value for key, value in response.getheaders()},
        "body": base64.b64encode(content[: PLAN.get("keep", 1 << 20)]).decode(),
        "seconds": round(time.monotonic() - start, 3),
    }


token = ""
if PLAN.get("user"):
    asked = {"X-Auth-User": PLAN["user"], "X-Auth-Key": PLAN["key"]}
    answer = call("GET", "/auth/v1.0", asked, b"")
    token = answer["headers"].get("x-auth-token", "")
    if not token:
        sys.exit(f"no token: {answer}")
answers = []
for one in PLAN["calls"]:
    given = one.get("headers", {}) | ({"X-Auth-Token": token} if token else {})
    sent = base64.b64decode(one["body"]) if "body" in one else b"x" * one.get("size", 0)
    answers.append(call(one["method"], one["path"], given, sent))
print(json.dumps(answers))
