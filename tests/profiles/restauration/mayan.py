"""What a Mayan that came back holds, asked on the machine itself: by SQL, and by its door as its administrator."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from testinfra.host import Host

# Password on standard input: it is in no command line.
ASK = """
import base64, hashlib, http.client, json, socket, sys
name, password = sys.argv[1], sys.stdin.readline().strip()
class Door(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect("/run/mayan.sock")
def ask(path):
    door = Door(name)
    known = base64.b64encode(f"admin:{password}".encode()).decode()
    door.request("GET", path, headers={"Host": name, "Authorization": f"Basic {known}", "X-Forwarded-Proto": "https"})
    answer = door.getresponse()
    return answer.status, answer.read()
found = []
status, listed = ask("/api/v4/documents/?page_size=100")
for document in json.loads(listed)["results"] if status == 200 else []:
    for file in json.loads(ask(f"/api/v4/documents/{document['id']}/files/")[1])["results"]:
        state, content = ask(f"/api/v4/documents/{document['id']}/files/{file['id']}/download/")
        found.append([document["label"], state, file["checksum"], hashlib.sha256(content).hexdigest()])
print(json.dumps({"statut": status, "fichiers": found}))
"""


def held(host: Host, name: str, password: Path) -> dict[str, Any]:
    """Documents as they open: label, status, the checksum that the database has, and that of what was read."""
    with host.sudo():
        secret = shlex.quote(password.read_text(encoding="utf-8").strip())
        done = host.check_output(f"printf '%s\\n' {secret} | python3 -c {shlex.quote(ASK)} {shlex.quote(name)}")
    found: dict[str, Any] = json.loads(done)
    return found


def counted(host: Host, query: str) -> int:
    """A number, of its database."""
    with host.sudo("mayan"):
        return int(host.check_output(f"psql -XAtqc {shlex.quote(query)} -h /run/postgresql mayan"))
