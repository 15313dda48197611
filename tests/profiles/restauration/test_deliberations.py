"""Délibérations that came back: what was published is read, what is prepared is not, the administrator comes in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from testinfra.host import Host

ASK = """
import base64, http.client, json, socket, sys
name, password = sys.argv[1], sys.stdin.readline().strip()
class Door(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect("/run/plone.sock")
def ask(path, accept="application/json", mine=True):
    door = Door(name)
    known = base64.b64encode(f"admin:{password}".encode()).decode()
    headers = {"Host": name, "Accept": accept, "X-Forwarded-Proto": "https"}
    door.request("GET", path, headers=headers | ({"Authorization": f"Basic {known}"} if mine else {}))
    answer = door.getresponse()
    return answer.status, answer.read()
def listed(kind):
    status, content = ask(f"/@search?portal_type={kind}&b_size=100")
    return ["/" + one["@id"].split("/", 3)[3] for one in json.loads(content)["items"]] if status == 200 else []
opened = []
for path in listed("Publication"):
    file = json.loads(ask(path)[1]).get("file") or {}
    if file:
        page, _content = ask(path, "text/html", False)
        _status, data = ask("/" + file["download"].split("/", 3)[3], "*/*", False)
        opened.append([path, page, data[:5].decode("latin-1"), len(data) == file.get("size")])
prepared = listed("seance")
seen = [path for path in prepared if ask(path, "text/html", False)[0] == 200]
print(json.dumps({"publications": opened, "seances": len(prepared), "vues": len(seen)}))
"""


def test_what_was_published_is_read_and_nothing_else(host: Host, hostvars: dict[str, Any], creatic_home: Path) -> None:
    secret = (creatic_home / "secrets" / "deliberations" / "admin").read_text(encoding="utf-8").strip()
    name = shlex.quote(hostvars["creatic_names"][0])
    with host.sudo():
        told = host.check_output(f"printf '%s\\n' {shlex.quote(secret)} | python3 -c {shlex.quote(ASK)} {name}")
    found = json.loads(told)
    assert found["publications"], "nothing was published: nothing is shown"
    assert [one for one in found["publications"] if one[1:] != [200, "%PDF-", True]] == []
    assert found["seances"] > 0, "the administrator sees what is prepared"
    assert found["vues"] == 0, "a visitor does not"
