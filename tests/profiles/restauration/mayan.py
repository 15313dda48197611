"""What a Mayan that came back holds: by SQL, and by its door as its administrator."""

from __future__ import annotations

import shlex
from pathlib import Path

from testinfra.host import Host

from .door import told

ASK = """
found = []
status, listed = ask("/api/v4/documents/?page_size=100")
for document in json.loads(listed)["results"] if status == 200 else []:
    for file in json.loads(ask(f"/api/v4/documents/{document['id']}/files/")[1])["results"]:
        state, content = ask(f"/api/v4/documents/{document['id']}/files/{file['id']}/download/")
        found.append([document["label"], state, file["checksum"], hashlib.sha256(content).hexdigest()])
print(json.dumps({"statut": status, "fichiers": found}))
"""


def every_document_opens(host: Host, name: str, password: Path) -> None:
    """The administrator's password opens, and each document read has the checksum that the database has of it."""
    found = told(host, ASK, "/run/mayan.sock", name, password)
    assert found["statut"] == 200, "the administrator's password opens"
    assert found["fichiers"], "there is no document: nothing is shown"
    assert [one for one in found["fichiers"] if one[1] != 200 or one[2] != one[3]] == []


def counted(host: Host, query: str) -> int:
    """A number, of its database."""
    with host.sudo("mayan"):
        return int(host.check_output(f"psql -XAtqc {shlex.quote(query)} -h /run/postgresql mayan"))
