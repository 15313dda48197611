# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who looks at whom: machines of the inventory that a supervision asks, and how it proves who they are.

`groups` and `hostvars` are Ansible's: hosts of each group, variables of each host.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from creatic.registry import profiles
from creatic.registry.groupement import OUTGOING
from creatic.registry.wiring import Groups, HostVars, host_variable, url
from creatic.supervision import figures

GROUP = "supervision"
PORT = 9100
PROBES_PORT = 9115
"""Where the blackbox exporter listens, on the supervision's own loopback (role supervision)."""
_PKI = "/etc/creatic/pki"
_BASE_LABELS = ("__name__", "job", "instance", "machine", "profil")
_COMMUNE_LABELS = ("commune", "commune_nom")
_SAMPLES = {"backup_server": 30_000, "archive_gateway": 10_000, "supervision": 3000, "tdt_connector": 1000}
"""Of those that tell of others: each client of backups, account of the archives, drill, entity that a commune hosts."""
_MAX_DEFAULT_SAMPLES = 300


def readers(groups: Groups, hostvars: HostVars) -> list[dict[str, str]]:
    """The variable creatic_supervision: machines that may ask the others how they are; none without a supervision.

    Returns:
        ``{nom, adresse}``: the name that their certificate bears, and whence they call.

    Raises:
        WiringError: one has no address.
    """
    return [
        {"nom": certified(host), "adresse": host_variable(hostvars, host, "ansible_host")}
        for host in sorted(groups.get(GROUP, ()))
    ]


def certified(host: str) -> str:
    """The DNS name that a machine's certificate bears, of its name in the inventory (role pki_client does the same)."""
    return host.lower().replace("_", "-")


def scrapes(groups: Groups, hostvars: HostVars) -> dict[str, Any]:
    """Prometheus' file of the machines that it asks: each by its address, known by the name of its certificate.

    Of those that show pages (variable base_pages), the blackbox exporter says in a second one what a client would see.

    Windows PCs, test benches, machines of drills and those that nobody reaches are asked nothing.

    Raises:
        WiringError: a machine has no address.
    """
    watched = sorted({*_watched_hosts(groups, hostvars)} - {*groups.get(OUTGOING, ())})
    shown = [host for host in watched if hostvars[host].get("base_pages")]
    return {
        "scrape_configs": [
            *(_scrape_machine(host, hostvars) for host in watched),
            *(_scrape_page(host, hostvars) for host in shown),
        ]
    }


def senders(groups: Groups, hostvars: HostVars) -> dict[str, dict[str, str]]:
    """Machines of which a day without a line of journal is told, by the name of their certificate: labels.

    Those that nobody reaches are among them, for they call; PCs are not, which people switch off.
    """
    found = {}
    for host in sorted(_watched_hosts(groups, hostvars)):
        if hostvars[host]["creatic_profil"] != "commune_pc":
            commune = hostvars[host].get("creatic_commune", {})
            found[certified(host)] = {"commune": commune["slug"], "commune_nom": commune["nom"]} if commune else {}
    return found


def _watched_hosts(groups: Groups, hostvars: HostVars) -> Iterator[str]:
    for name, profile in profiles.load().items():
        if not profile.banc:
            for host in groups.get(name, ()):
                told = hostvars[host]
                if told.get("creatic_certificats", True) and told.get("creatic_poste", {}).get("systeme") != "windows":
                    yield host


def _scrape_machine(host: str, hostvars: HostVars) -> dict[str, Any]:
    told = hostvars[host]
    commune = told.get("creatic_commune", {})
    address = host_variable(hostvars, host, "ansible_host")
    labels = {"job": "machines", "instance": host, "machine": host, "profil": told["creatic_profil"]}
    if commune:
        labels |= {"commune": commune["slug"], "commune_nom": commune["nom"]}
    return {
        "job_name": host,
        "scheme": "https",
        "tls_config": {
            "ca_file": f"{_PKI}/ca.pem",
            "cert_file": f"{_PKI}/{GROUP}/current/fullchain.pem",
            "key_file": f"{_PKI}/{GROUP}/current/key.pem",
            "server_name": certified(host),
        },
        "static_configs": [
            {"targets": [f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"], "labels": labels}
        ],
        "sample_limit": _SAMPLES.get(told["creatic_profil"], _MAX_DEFAULT_SAMPLES),
        "metric_relabel_configs": _relabel_rules(
            told["creatic_profil"], {*_BASE_LABELS, *(_COMMUNE_LABELS if commune else ())}
        ),
    }


def _relabel_rules(profile: str, given: set[str]) -> list[dict[str, Any]]:
    """What is taken of what a machine tells: figures that its profile makes, with the labels that are theirs.

    Two samples that are one once other labels are gone are told once (Prometheus drops the second).

    Args:
        given: labels that the inventory gives.
    """
    mine = {name: one for name, one in figures.figure_specs().items() if one.by(profile)}
    labels = given.union(*(one.labels for one in mine.values()))
    return [
        {"source_labels": ["__name__"], "regex": "|".join(sorted(mine)), "action": "keep"},
        {"regex": "|".join(sorted(labels)), "action": "labelkeep"},
    ]


def _scrape_page(host: str, hostvars: HostVars) -> dict[str, Any]:
    """What a client of a server sees: whether it answers over TLS, under its name, with a certificate that is known."""
    told = hostvars[host]
    address, shown = host_variable(hostvars, host, "ansible_host"), url(hostvars, host)
    labels = {"job": "pages", "instance": shown, "machine": host, "profil": told["creatic_profil"]}
    return {
        "job_name": f"{host} page",
        "metrics_path": "/probe",
        "params": {
            "module": ["page"],
            "target": [f"https://[{address}]/" if ":" in address else f"https://{address}/"],
            "hostname": [shown.removeprefix("https://")],
        },
        "static_configs": [{"targets": [f"127.0.0.1:{PROBES_PORT}"], "labels": labels}],
    }
