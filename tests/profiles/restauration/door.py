"""What a restored application answers, asked at its own door on the machine: nothing outside reaches it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from testinfra.host import Host

# Password on standard input: it is in no command line.
_CLIENT = """
import base64, hashlib, http.client, json, socket, sys
name, password = sys.argv[1], sys.stdin.readline().strip()
class Door(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect(sys.argv[2])
def ask(path, accept="application/json", mine=True):
    door = Door(name)
    known = base64.b64encode(f"admin:{password}".encode()).decode()
    headers = {"Host": name, "Accept": accept, "X-Forwarded-Proto": "https"}
    door.request("GET", path, headers=headers | ({"Authorization": f"Basic {known}"} if mine else {}))
    answer = door.getresponse()
    return answer.status, answer.read()
"""


def told(host: Host, script: str, socket: str, name: str, password: Path) -> dict[str, Any]:
    """What a script prints in JSON, that asks with `ask(path, accept, mine)`: as the administrator, or as nobody.

    Args:
        socket: of the application.
        name: of the site.
        password: file of the control node, the administrator's.
    """
    secret = shlex.quote(password.read_text(encoding="utf-8").strip())
    with host.sudo():
        done = host.check_output(
            f"printf '%s\\n' {secret} | python3 -c {shlex.quote(_CLIENT + script)} {shlex.quote(name)} {socket}"
        )
    found: dict[str, Any] = json.loads(done)
    return found
