# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What one machine is told: the variables of its own roles, worked out here, and the secrets that are its own.

Variables are worked out on the control node, by the profile's own expressions: a machine gets the address of the
passerelle, and neither the inventory in which it was found nor the variables of another commune. What only the machine
can know (what a role before gave, what it says of itself) is worked out there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509

from creatic.check.inspection import Tree
from creatic.check.needs import Needs, apart, trusted
from creatic.fleet import unsaved as outgoing
from creatic.fleet.signing import FleetError
from creatic.pki.pkcs12_file import Pkcs12FileError, own_pkcs12
from creatic.registry.variables import inner_uses

PLACE = "/var/lib/creatic-flotte/courant/donnees"
"""Where a machine finds its data: role flotte makes that link."""
# Named by the profiles' tasks themselves, not by a role's specification.
_PASSED_VARIABLES = (
    "creatic_env",
    "creatic_niveau",
    "creatic_tdt_url",
    "creatic_tdt_addresses",
    "creatic_commune",
    "creatic_poste",
    "creatic_connecteur",
    "creatic_profil",
    "ansible_user",
    "ansible_port",
    # And by the defaults of roles that others bring: who is sent journals, who asks for figures.
    "creatic_supervision",
    "creatic_journaux",
)
_CERTIFIES = "pki_client"
_ESCROW_HOLDERS_VARIABLE = "backup_client_holders"
# Of creatic_secrets_dir, what is the groupement's alone, whatever a commune's file names.
_PRIVATE_SECRET_PREFIXES = ("pki_", "acces_", "flotte_")


def machine_contents(
    directory: Path, top: Path, machines: Collection[str], refused: dict[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """What each machine is told: ``variables``, ``groupes``, and ``fichiers``, paths here by path in its data.

    And ``certificats``: those that its roles ask of the authority, as role pki_client takes them.

    Args:
        directory: inventory folder, checked before (`needs.check`).
        top: the project.
        machines: their names.
        refused: where to say (French) why a machine is told nothing, and keeps no other; without it, that raises.

    Raises:
        FleetError: the inventory cannot be read, or a machine asks for a secret that is not its own.
    """
    told, why = apart("fleet.contents", directory, top, given=json.dumps(sorted(machines)))
    if why:
        raise FleetError(f"inventaire : {why}. Rien n'est publié")
    wrong = {name: str(one["refus"]) for name, one in told.items() if "refus" in one}
    if refused is not None:
        refused.update(wrong)
    elif wrong:
        raise FleetError(next(iter(wrong.values())))
    return {name: one for name, one in told.items() if name not in wrong}


def main() -> None:
    """Print what machines are told, as JSON. Arguments: the project, the inventory; names on the input, as JSON."""
    contents = Contents(Path(sys.argv[2]), Tree(Path(sys.argv[1])))
    found: dict[str, Any] = {}
    for name in json.load(sys.stdin):
        try:
            found[name] = contents.machine(name)
        except FleetError as error:
            found[name] = {"refus": str(error)}
    print(json.dumps(found, default=str))


class Contents(Needs):
    """What machines of an inventory are told."""

    def machine(self, name: str) -> dict[str, Any]:
        """What one machine is told: see `of`."""
        host = self._inventory.get_host(name)
        variables = self._host_variables(host)
        home = str(self._render_variable(variables, "creatic_home"))
        secrets = str(self._render_variable(variables, "creatic_secrets_dir"))
        found: dict[str, Any] = {}
        for key, value in self._told_to(str(variables["creatic_profil"]), variables):
            found[key] = value
        own = self._own_secrets(name, variables, Path(secrets))
        files = {f"etat/secrets/{one.name}": str(one) for one in own} | self._holder_certificates(
            name, found, Path(home)
        )
        for part in ("autorite.pub", "revoques.krl"):  # public, for sshd
            path = str(Path(home, "acces", "publie", part))
            if Path(path).is_file():
                files[f"etat/acces/publie/{part}"] = path
        known = Path(home, outgoing.FOLDER, name)
        if (known / "inscrit").is_file():  # the server lets it in: it may begin (role backup_client)
            given = [one for one in outgoing.SERVER_GIVEN_FILES if (known / one).is_file()]
            files |= {f"etat/{outgoing.FOLDER}/{name}/{one}": str(known / one) for one in given}
        found |= {"creatic_home": home, "creatic_secrets_dir": secrets, "creatic_pki_dir": f"{home}/pki"}
        text = json.dumps(found, default=str)
        for here, there in ((secrets, f"{PLACE}/etat/secrets"), (home, f"{PLACE}/etat")):  # secrets may be elsewhere
            text = text.replace(json.dumps(here)[1:-1], there)
        moved = json.loads(text)
        groups = [group.name for group in host.get_groups() if group.name not in ("all", "ungrouped")]
        return {
            "variables": moved,
            "fichiers": files,
            "groupes": groups,
            "certificats": self._requested_certificates(variables),
        }

    def _requested_certificates(self, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Certificates that a machine's roles ask of the authority, by the very expressions of their tasks."""
        from ansible.errors import AnsibleError

        found: dict[str, dict[str, Any]] = {}
        certifier = self._role_defaults(_CERTIFIES)
        whole = inner_uses(self.tree.top, _CERTIFIES, "cdg59.creatic.certificates")[0].given["certificates"]
        for use in self._profile_uses(str(variables["creatic_profil"])):
            around = {**self._role_defaults(use.role), **variables, **use.given}
            for inner in inner_uses(self.tree.top, use.role, _CERTIFIES) if self._is_role_called(use, around) else ():
                given = {name: trusted(value) for name, value in inner.given.items()}
                known = (
                    certifier
                    | around
                    | given
                    | {"__asked": trusted(whole), "__key": trusted("{{ pki_client_key_type }}")}
                )
                try:
                    if self._is_role_called(inner, known):
                        kind = self._render_variable(known, "__key")
                        for one in self._render_variable(known, "__asked"):
                            found[str(one["name"])] = {"key_type": kind, **one}
                except AnsibleError:  # known by a run only: it stays with those that the machine holds
                    continue
        return list(found.values())

    def _told_to(self, profile: str, variables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Variables that the roles of a profile take, and their values where these can be known here."""
        from ansible.errors import AnsibleError

        called = self._profile_uses(profile)
        defaults: dict[str, Any] = {}
        for use in called:
            defaults |= self._role_defaults(use.role)
        values: dict[str, list[Any]] = {}
        for use in called:
            known = defaults | dict(variables) | dict(use.given)
            if not self._is_role_called(use, known):
                continue
            for name in {*self._role_options(use.role, use.entry), *use.given}:
                if name in use.given or name in variables:
                    try:
                        values.setdefault(name, []).append(self._render_variable(known, name))
                    except AnsibleError:  # known by a run only
                        values.setdefault(name, []).append(None)
        for name in _PASSED_VARIABLES:
            if name in variables:
                values[name] = [self._render_variable(variables, name)]
        for name, given in values.items():
            # One that two calls of a role give differently stays with the tasks that give it.
            if given[0] is not None and all(one == given[0] for one in given):
                yield name, given[0]

    @staticmethod
    def _holder_certificates(name: str, told: Mapping[str, Any], home: Path) -> dict[str, str]:
        """Certificates of those who can open the escrow (role backup_client), by path in a machine's data.

        Of that variable alone, which is the groupement's, and in their folder once links are followed: no other text
        that a machine is told has a file of the control node published to it.
        """
        folder, found = (home / "titulaires").resolve(), {}
        for path in map(Path, told.get(_ESCROW_HOLDERS_VARIABLE, ())):
            if path.resolve().is_relative_to(folder) and path.is_file():
                if not _is_certificate(path):
                    raise FleetError(f"{name} : {path} n'est pas un certificat, ou plus que cela. Rien n'est publié")
                found[f"etat/titulaires/{path.resolve().relative_to(folder)}"] = str(path.resolve())
        return found

    @staticmethod
    def _own_secrets(name: str, variables: Mapping[str, Any], secrets: Path) -> Iterator[Path]:
        """Files of creatic_secrets_dir that are proven to be of this machine's commune, or of what it hosts.

        A commune's file names them; the certificate inside says whose they are, and its password opens it. A token's
        code is proven by nothing, and is the lab's alone (module pkcs11_token): no machine is told one.
        """
        commune = variables.get("creatic_commune", {})
        hosted = commune.get("entites", ())
        everybody = [commune.get("siren", ""), *(one["siren"] for one in hosted)]
        held = [(one, everybody) for one in variables.get("creatic_poste", {}).get("certificats", [])]
        if "creatic_connecteur" in variables:
            held += [
                (one["certificat"], [siren])
                for siren, one in (
                    (commune.get("siren", ""), variables["creatic_connecteur"]),
                    *((entity["siren"], entity.get("connecteur", {})) for entity in hosted),
                )
                if one.get("certificat")
            ]
        for certificate, owners in held:
            if not certificate.get("fichier"):
                continue
            for secret in (str(certificate["fichier"]), str(certificate["secret"])):
                if "/" in secret or secret.startswith((".", *_PRIVATE_SECRET_PREFIXES)):
                    raise FleetError(
                        f"{name} : « {secret} » n'est pas un secret de commune. À faire : corrigez le fichier de "
                        "la commune. Rien n'est publié"
                    )
            path, word = secrets / str(certificate["fichier"]), secrets / str(certificate["secret"])
            try:
                own_pkcs12(path, word, owners)
            except Pkcs12FileError as error:
                raise FleetError(f"{name} : {error} Rien n'est publié") from None
            yield from (path, word)


def _is_certificate(path: Path) -> bool:
    """Whether a file is one certificate in PEM, and nothing else: it goes out of the control node."""
    try:
        text = path.read_text(encoding="ascii").strip()
        [_only] = x509.load_pem_x509_certificates(text.encode())
    except (OSError, ValueError):
        return False
    return text.startswith("-----BEGIN CERTIFICATE") and text.count("-----BEGIN") == 1 and text.endswith("-----")
