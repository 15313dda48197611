"""Debian's updates on a server and on a commune's machines: seen, brought, proved, then stopped by a bad package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.control_node import HOME, command

from .conftest import followed, on_host

pytestmark = pytest.mark.life
SERVER, CONNECTOR, PC = "10.59.0.43", "10.59.4.20", "10.59.4.10"
NAMES = ("relais", "la-madeleine-connecteur", "la-madeleine-pc-finances")
# A tiny repository on the machine, of a package whose service runs on a program that each version replaces: $1 is the
# version to publish, $2 what its installation ends with.
REPOSITORY = """
set -e
rm -rf /var/tmp/correctifs; mkdir -p /var/tmp/correctifs; cd /var/tmp/correctifs
made() {
  rm -rf p; mkdir -p p/DEBIAN p/usr/lib/creatic-correctifs p/usr/lib/systemd/system
  printf "%s\\n" "Package: creatic-correctifs" "Version: $1" "Architecture: all" "Maintainer: essai <a@b.c>" \
    "Description: essai" > p/DEBIAN/control
  cp /bin/sleep p/usr/lib/creatic-correctifs/sommeil
  printf "[Service]\\nExecStart=/usr/lib/creatic-correctifs/sommeil infinity\\n" \
    > p/usr/lib/systemd/system/creatic-correctifs.service
  printf "#!/bin/sh\\n$2\\n" > p/DEBIAN/postinst
  chmod -R u=rwX,go=rX p; chmod 755 p/DEBIAN/postinst
  dpkg-deb --root-owner-group -b p $1.deb > /dev/null
  { dpkg-deb -f $1.deb; echo "Filename: ./$1.deb"; echo "Size: $(stat -c %s $1.deb)"
    echo "SHA256: $(sha256sum $1.deb | cut -d" " -f1)"; } > Packages
  chmod -R a+rX .
}
"""
FIRST = f"""{REPOSITORY}
made 1; dpkg -i 1.deb > /dev/null; systemctl daemon-reload; systemctl start creatic-correctifs
echo "deb [trusted=yes] file:/var/tmp/correctifs ./" > /etc/apt/sources.list.d/correctifs.list
"""
BROKEN = f"{REPOSITORY}\nmade 3 'exit 1'"
GONE = """
systemctl stop creatic-correctifs; dpkg --purge --force-all creatic-correctifs
rm -rf /var/tmp/correctifs /etc/apt/sources.list.d/correctifs.list; systemctl daemon-reload; systemctl reset-failed
apt-get -q update
"""


def done(address: str, script: str) -> str:
    """Run a script on a machine, quotes and all."""
    quoted = script.replace("'", '"')
    found = on_host(address, quoted)
    assert found.returncode == 0, found.stdout
    return found.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def repositories(ready: str) -> Iterator[None]:
    """An update of each machine; the connector's asks for a restart."""
    for address, after in ((SERVER, "true"), (CONNECTOR, "touch /run/reboot-required"), (PC, "true")):
        done(address, f"systemctl reset-failed; {FIRST} made 2 '{after}'; apt-get -q update")
    yield
    for address in (SERVER, CONNECTOR, PC):
        on_host(address, GONE)


def updated(*arguments: str) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """fab correctifs; gives its status, its output and what its record says of each machine."""
    status, output = followed("fab", "correctifs", ",".join(NAMES), *arguments)
    found = re.search(r"Preuves : (\S+)/rapport\.html", output)
    if not found:
        return status, output, {}
    folder = Path(found[1])
    assert folder.parent == HOME / "correctifs"
    assert command("fab", "preuves.verifier", "--dossier", str(folder)).returncode == 0
    record = json.loads((folder / "correctifs.json").read_text(encoding="utf-8"))
    return status, output, {machine["nom"]: machine for machine in record["machines"]}


def test_updates_are_seen_then_brought_one_machine_at_a_time_and_proved() -> None:
    status, output, _record = updated("--voir")
    assert status == 0, output
    for name in NAMES:
        assert re.search(rf"{name} \(\w+\) : +creatic-correctifs 1 → 2$", output, re.MULTILINE), output
    assert done(SERVER, "dpkg-query -W creatic-correctifs").split()[1] == "1"

    before = done(SERVER, "systemctl show -P ActiveEnterTimestampMonotonic creatic-correctifs")
    status, output, record = updated()
    assert status == 0, output
    for name in NAMES:
        assert record[name]["etat"] == "fait", output
        assert ("creatic-correctifs", "2") in {(one["nom"], one["disponible"]) for one in record[name]["paquets"]}
    assert [record[name]["redemarre"] for name in NAMES] == [False, True, False], output
    assert record[NAMES[1]]["pourquoi"] == ["Debian le demande"]
    proofs = [{proof["cle"] for proof in record[name]["preuves"]} for name in NAMES]
    assert {"services", "connexion", "rgs", "classification", "acte"} <= proofs[1] and "navigateur" in proofs[2]
    assert done(SERVER, "systemctl show -P ActiveEnterTimestampMonotonic creatic-correctifs") != before
    ended = [output.index(f"✓ {name}", output.index("\nCorrectifs")) for name in NAMES]
    assert ended == sorted(ended), output  # the server first


def test_a_bad_package_stops_what_follows_and_what_is_up_to_date_is_left_alone() -> None:
    for address in (SERVER, CONNECTOR):
        done(address, BROKEN)
    status, output, record = updated()
    assert status == 1, output
    assert [record[name]["etat"] for name in NAMES] == ["echec", "non_atteint", "a_jour"], output
    assert "✗ la-madeleine-connecteur (tdt_connector) : pas commencé, arrêté avant cette machine" in output
    assert done(CONNECTOR, "dpkg-query -W creatic-correctifs").split()[1] == "2"
