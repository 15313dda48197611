"""Délibérations that came back: what was published is read, what is prepared is not, the administrator comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testinfra.host import Host

from .door import told

ASK = """
def listed(kind, more=""):
    status, content = ask(f"/@search?portal_type={kind}{more}&b_size=100")
    return ["/" + one["@id"].split("/", 3)[3] for one in json.loads(content)["items"]] if status == 200 else []
opened = []
for path in listed("Publication", "&review_state=published"):
    file = json.loads(ask(path)[1]).get("file") or {}
    if file:
        page, _content = ask(path, "text/html", False)
        _status, data = ask("/" + file["download"].split("/", 3)[3], "*/*", False)
        opened.append([path, page, data[:5].decode("latin-1"), len(data) == file.get("size")])
prepared, drafts = listed("seance"), listed("Publication", "&review_state=private")
seen = [path for path in prepared + drafts if ask(path, "text/html", False)[0] == 200]
print(json.dumps({"publications": opened, "seances": len(prepared), "vues": len(seen)}))
"""


def test_what_was_published_is_read_and_nothing_else(host: Host, hostvars: dict[str, Any], creatic_home: Path) -> None:
    found = told(
        host, ASK, "/run/plone.sock", hostvars["creatic_names"][0], creatic_home / "secrets" / "deliberations" / "admin"
    )
    assert found["publications"], "nothing was published: nothing is shown"
    assert [one for one in found["publications"] if one[1:] != [200, "%PDF-", True]] == []
    assert found["seances"] > 0, "the administrator sees what is prepared"
    assert found["vues"] == 0, "a visitor does not"
