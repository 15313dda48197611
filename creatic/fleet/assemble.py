# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a publication is made of, from the inventory and the state of the control node; and the way to the door."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request, load_certificate

from creatic.evidence import failures
from creatic.fleet import attested, bundle, contents
from creatic.fleet.publication import Fleet
from creatic.fleet.signing import FleetError
from creatic.fleet.waves import Machine
from creatic.pki.authority import Authority
from creatic.pki.extract import CERTIFICATE, FILE, extract, missing_certificates
from creatic.pki.extract import renew as renew_certificates
from creatic.registry import listing
from creatic.registry.checked_yaml import looks_evaluated

_LARGEST_SECRET = 1 << 20  # bytes
_DOOR_GROUP = "guichet"
_DOOR_STATUS_COMMAND = "runuser -u guichet -- creatic-guichet etat"
_RELEVES = "runuser -u guichet -- creatic-guichet releves"
_PROOFS = "runuser -u guichet -- creatic-guichet preuves --apres"


def common_name(machine: str) -> str:
    """The name that a machine's certificate bears, no other's, as the door reads it (X.520: 64 characters at most)."""
    name = f"Machine - {machine}"
    return name if len(name) <= 64 else f"{name[:55]} {hashlib.sha256(machine.encode()).hexdigest()[:8]}"


def archives(
    directory: Path, top: Path, home: Path, machines: Mapping[str, Machine], refused: dict[str, str] | None = None
) -> dict[str, bytes]:
    """The data of each machine, in the clear.

    Args:
        directory: inventory folder, checked before.
        top: the project.
        home: state of the control node.
        machines: those to publish for.
        refused: where to say (French) why nothing can be made for a machine, and keeps no other: a provider's
            certificate that expired is its commune's affair. Without it, that raises.

    Raises:
        FleetError: a secret is not there, or too large; names it.
    """
    authority = Authority(home / "pki")
    told = contents.machine_contents(directory, top, machines, refused)
    return {name: _build_archive(name, one, extract(authority, name)) for name, one in told.items()}


def renew(home: Path, fleet: Fleet, directory: Path, top: Path) -> list[str]:
    """Issue the certificates that machines ask for in their reports; says which, and what is refused (French).

    Args:
        home: state of the control node.
        fleet: whose door has the reports.
        directory: inventory folder, which says what kinds of certificates each machine has.
        top: the project.
    """
    authority, told, every = Authority(home / "pki"), [], fleet.requested_certificates()
    new = [name for name, asked in every.items() if missing_certificates(authority, name, asked)]
    kinds = (
        contents.machine_contents(directory, top, new, {}) if new else {}
    )  # who is refused is told with what is published
    for name, asked in every.items():
        lacks = missing_certificates(authority, name, asked)
        held = {*asked} - lacks
        wanted, refused = _missing_requests(kinds.get(name), fleet.machines[name].commune, lacks)
        told += [f"{name} : certificat refusé ({why})" for why in refused]
        try:
            done = renew_certificates(authority, name, asked, wanted)
        except PkiError as error:  # one machine's bad request keeps no other from its version
            told.append(f"{name} : certificat refusé ({error})")
        else:
            told += [f"{name} : certificat « {one} » {'renouvelé' if one in held else 'fait'}." for one in done]
    return told


def _missing_requests(
    told: Mapping[str, Any] | None, commune: str, lacks: Container[str]
) -> tuple[dict[str, tuple[Request, str]], list[str]]:
    """Those that a machine lacks, of what its roles ask, and why others are refused: these keep none waiting."""
    found: dict[str, tuple[Request, str]] = {}
    refused: list[str] = []
    for one in told["certificats"] if told else ():
        if one.get("name") in lacks:
            try:
                request = Request.from_dict(one)
            except PkiError as error:
                refused.append(str(error))
            else:
                found[request.name] = (request, commune)
    return found, refused


def keys(home: Path, machines: Mapping[str, Machine]) -> attested.Keys:
    """Keys by which machines sign: those of the certificates that the registry issued to each, with its SIREN and its
    own name, that are neither revoked nor past. One that was replaced signed what waits at the door."""
    known: dict[str, list[Any]] = {}

    def keys_of(name: str) -> list[Any]:
        if not known:
            for row in Authority(home / "pki").listing():
                if _is_own(row, machines) and row["statut"] in ("valide", "remplace"):
                    known.setdefault(row["hote"], []).append(load_certificate(row["pem"]).public_key())
            known.setdefault("", [])  # asked once
        return known.get(name, [])

    return keys_of


def certificates(home: Path, machines: Mapping[str, Machine]) -> dict[str, str]:
    """The certificate in use of each machine, PEM: what is encrypted for it is for that key.

    A name may have been another commune's machine (« loos-est » and « pc », « loos » and « est-pc »): its SIREN tells.
    """
    rows = Authority(home / "pki").listing(status="valide")
    return {row["hote"]: row["pem"] for row in rows if _is_own(row, machines)}


def _is_own(row: Mapping[str, Any], machines: Mapping[str, Machine]) -> bool:
    """Whether a row of the registry is of the certificate by which a machine comes to the door, under its own SIREN."""
    one = machines.get(row["hote"])
    known = (CERTIFICATE, one.siren, common_name(one.name)) if one else ()
    return (row["nom"], row["siren"], row["titulaire"]) == known


def _build_archive(name: str, told: Mapping[str, Any], authority: Mapping[str, Any]) -> bytes:
    groups: dict[str, Any] = {group: {"hosts": {name: {}}} for group in told["groupes"]}
    files = {
        "variables.json": json.dumps(_mark_literal(told["variables"]), ensure_ascii=False).encode(),
        # JSON, which is YAML: Ansible reads it by its name.
        "inventaire.yml": json.dumps({"all": {"hosts": {name: {}}, "children": groups}}).encode(),
        f"etat/pki/{FILE}": json.dumps(authority).encode(),
    }
    for place, source in told["fichiers"].items():
        path = Path(source)
        if not path.is_file() or path.is_symlink() or path.stat().st_size > _LARGEST_SECRET:
            raise FleetError(f"{name} : {path} manque, est un lien, ou dépasse 1 Mio. Rien n'est publié")
        files[place] = path.read_bytes()
    return bundle.data(files)


def _mark_literal(value: Any) -> Any:
    """Mark what the machine's Ansible would evaluate: all is known here, what looks like a template is a text."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value} if looks_evaluated(value) else value
    if isinstance(value, Mapping):
        return {name: _mark_literal(one) for name, one in value.items()}
    return [_mark_literal(one) for one in value] if isinstance(value, list) else value


class Door:
    """The door, as the control node reaches it: over SSH, by Ansible.

    Args:
        top: the project.
        inventory: its folder.
    """

    program = "creatic-guichet"
    """Which says why it refuses, under its own name."""

    def __init__(self, top: Path, inventory: Path) -> None:
        self._top, self._inventory = top, inventory

    def read_status(self) -> dict[str, Any]:
        """What the door knows of each machine.

        Raises:
            FleetError: it does not answer.
        """
        said = self._run_ansible(
            "ansible", _DOOR_GROUP, "-b", "-m", "ansible.builtin.command", "-a", _DOOR_STATUS_COMMAND
        )
        try:
            found: dict[str, Any] = answers.parse_json_output(said, '{"maintenant"')
        except ValueError:
            told = "le guichet répond autre chose que son état : redéployez-le (fab serveurs guichet)"
            raise FleetError(told) from None
        return found

    def proofs(self, known: str) -> Any:
        """The last reports with proofs that are new, as `proofs.Proofs` takes them; None when it says something else.

        Args:
            known: reports that are known, as the door reads them.

        Raises:
            FleetError: it does not answer.
        """
        return self._run_door_command("preuves", f"{_PROOFS} {known}")

    def releves(self, after: str, wanted: Sequence[str]) -> Any:
        """Relevés that machines sent, as `carried.brought` takes them; None when it says something else.

        Args:
            after: name of the last machine that is known; empty for none.
            wanted: machines; none for all.

        Raises:
            FleetError: it does not answer.
        """
        return self._run_door_command("releves", " ".join([_RELEVES, *(["--apres", after] if after else []), *wanted]))

    def _run_door_command(self, what: str, command: str) -> Any:
        said = self._run_ansible("ansible", _DOOR_GROUP, "-b", "-m", "ansible.builtin.command", "-a", command)
        try:
            return answers.parse_json_output(said, f'{{"{what}"')
        except ValueError:  # cut, or none of it
            return None

    def send(self, file: Path) -> None:
        """Bring it a sending. Raises FleetError: it does not answer, or refuses it."""
        self._run_ansible(
            "ansible-playbook", "playbooks/journeys/fleet_send.yml", "-e", listing.to_extra_vars({"envoi": str(file)})
        )

    def _run_ansible(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, "-i", str(self._inventory), *arguments],
            cwd=self._top,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stdout + done.stderr
            own = said.partition(f"{self.program} : ")[2].partition("\n")[0].partition('"')[0]
            own = own.replace("\\n", " ").strip()
            raise FleetError(harmless.line(own) or _silence_reason(said))
        return done.stdout


def _silence_reason(said: str) -> str:
    """Why the door said nothing of its own (French), from what Ansible printed: what ssh met, or what it has not."""
    if "UNREACHABLE" not in said:
        return (
            "le guichet ne sait pas répondre : il n'est pas déployé, ou pas en entier. À faire : fab serveurs guichet"
        )
    reason, remedy = failures.explain(said)
    return f"le guichet n'a pas répondu : {reason}. À faire : {remedy}"
