"""No data lies on a machine without being saved: what no package brought is declared, or known to be made again."""

from __future__ import annotations

import json
import shlex

import pytest
from testinfra.host import Host

# Of every machine: its own history, and what our roles or Debian make again.
MADE_AGAIN = {
    *(
        f"/var/lib/{name}"
        for name in (
            "aide",
            "creatic",
            "creatic-audit",
            "creatic-sauvegarde",
            "private",
            "python",
            "shells.state",
            "wtmpdb",
            "xfonts",
        )
    ),
    "/opt/formats",
    "/opt/mayan",
    "/opt/passerelle",
    "/opt/plone",
    "/opt/signature",
    "/var/lib/plone",
}
# Of roles that declare nothing, with the reason in their variables.
KEPT_ELSEWHERE = {
    "tdt_simulator": {"/var/lib/tdt-simulator"},
    "ged": {"/var/lib/redis"},
    "parapheur": {"/var/lib/redis"},
    "guichet": {"/var/lib/enrolement", "/var/lib/guichet", "/var/lib/guichet-cles", "/var/lib/guichet-porte"},
    "supervision": {"/var/lib/journaux", "/var/lib/supervision"},
    "control_node": {"/opt/creatic", "/var/lib/creatic-poste"},
    "archive_node": {"/srv/node", "/var/lib/creatic-archive", "/var/lib/swift"},
    "backup_server": {
        "/srv/sauvegardes",
        "/var/lib/creatic-depots",
        "/var/lib/sauvegarde",
        "/var/lib/sauvegarde-lecture",
    },
}
# Folders that a package brings, and data fills.
FILLED = ("/var/lib/postgresql", "/var/lib/mysql", "/var/lib/redis", "/var/lib/ldap")
LOOK = f"""
for place in /srv/* /opt/* /var/opt/* /var/lib/*; do
  [ -e "$place" ] && [ -n "$(find "$place" -type f -print -quit)" ] || continue
  case " {" ".join(FILLED)} " in *" $place "*) ;; *) dpkg -S "$place" >/dev/null 2>&1 && continue ;; esac
  echo "$place"
done
"""


def undeclared(host: Host, profile: str) -> set[str]:
    """What holds files, was brought by no package, and is in no backup."""
    with host.sudo():
        found = set(host.check_output(f"sh -c {shlex.quote(LOOK)}").split())
        config = host.run("cat /etc/creatic/sauvegarde/config.json")
    items = json.loads(config.stdout)["elements"] if config.rc == 0 else []
    declared = {path for item in items for path in item["paths"]}
    saved = {name for item in items for name in item.get("postgresql", [])}
    if "/var/lib/postgresql" in found:
        with host.sudo("postgres"):
            there = host.check_output("psql -XAtqc 'SELECT datname FROM pg_database WHERE NOT datistemplate' postgres")
        if set(there.split()) <= saved | {"postgres"}:
            declared.add("/var/lib/postgresql")
    return found - MADE_AGAIN - KEPT_ELSEWHERE.get(profile, set()) - declared


def test_no_data_lies_undeclared(host: Host, profile: str) -> None:
    assert undeclared(host, profile) == set()


@pytest.mark.leaves_traces
def test_data_that_nobody_declared_is_seen(host: Host, profile: str) -> None:
    place = "/var/lib/essai-non-declare"
    with host.sudo():
        host.run_expect([0], f"mkdir {place} && touch {place}/fichier")
    try:
        assert undeclared(host, profile) == {place}
    finally:
        with host.sudo():
            host.run_expect([0], f"rm -r {place}")
