"""A door that was taken carries reports, and says nothing in a machine's place: signed, of now, or not counted."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import kind_of
from cryptography.x509 import load_pem_x509_certificate

from creatic.fleet import assemble, attested, waves
from creatic.fleet.proofs import Proofs
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from testbed.connector import Authority as Issuer
from testbed.fleet import Machine

NAME, OTHER = "loos-pc", "hem-pc"
SIREN = "215903469"
OPENED = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=40)
PART = {"sha256": "a" * 64, "octets": 1}
RECORD: dict[str, Any] = {"version": 2, "code": PART, "donnees": PART, "le": OPENED.isoformat()}
IDENTITY = attested.identity(RECORD)


class Site:
    """Two machines, and the keys that the control node knows."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.machines = {name: Machine(folder / name, issuer, folder / "signataires", name) for name in (NAME, OTHER)}
        self._issuer = issuer

    def keys(self, name: str) -> list[Any]:
        return [load_pem_x509_certificate((self._issuer.folder / name / "cert.pem").read_bytes()).public_key()]

    def said(self, name: str = NAME, **changes: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"version": 2, "identity": IDENTITY} | changes
        found: dict[str, Any] = json.loads(self.machines[name].signed(**given))
        return found


@pytest.fixture
def site(tmp_path: Path, authority: Issuer) -> Site:
    return Site(tmp_path, authority)


def standing(site: Site, told: dict[str, Any], record: dict[str, Any] = RECORD) -> waves.MachineState:
    """Where the machine is, by a door that says that it saw it, and gave it everything."""
    now = dt.datetime.now(dt.UTC)
    row = {"nom": NAME, "vue": now.isoformat(), "donnee": 99, "dernier": told | {"recu": now.isoformat()}}
    try:
        row["dernier"] = attested.verify_report(NAME, told, site.keys) | {"recu": now.isoformat()}
    except attested.UnverifiedReportError as error:
        row |= {"dernier": None, "refus": str(error)}
    return waves.machine_state(NAME, record | {"identite": attested.identity(record)}, row, now)


def test_a_report_that_the_machine_signed_of_what_it_was_given_counts(site: Site) -> None:
    assert standing(site, site.said()).state == waves.UP_TO_DATE


def test_what_the_machine_did_not_sign_counts_for_nothing_and_is_told(site: Site) -> None:
    good = site.said()
    forged = {**good, "signe": good["signe"].replace('"version": 2', '"version": 3')}
    lies: dict[str, dict[str, Any]] = {
        "bare": {key: good[key] for key in good if key not in ("signe", "signature")},
        "no-signature": {**good, "signature": ""},
        "changed": forged,
        "another's": site.said(OTHER),
        "another's-as-its-own": {**site.said(OTHER, machine=NAME)},
        "nonsense": {**good, "signe": "[" * 9000},
        "numbers": {**good, "signe": 3, "signature": None},
    }
    for name, told in lies.items():
        found = standing(site, told)
        assert (found.state, found.failed, found.version) == (waves.BLOCKED, False, 0), name
        assert "compte pas" in found.reason, name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 9}, "que ce poste de commande n'a pas publiée"),  # of before a backup came back
        ({"identity": "b" * 64}, "n'est pas fait de ce qui a été publié ici"),
        ({"fin": (OPENED - dt.timedelta(hours=3)).isoformat()}, "d'avant que v2 lui soit donnée"),
        ({"version": 1}, "n'a pas appliqué v2"),
        ({"fin": "hier"}, "n'est pas un compte rendu d'elle"),
        ({"fin": "2026-11-29T06:00:00"}, "n'est pas un compte rendu d'elle"),
    ],
)
def test_an_old_report_given_again_opens_no_wave(site: Site, changes: dict[str, Any], words: str) -> None:
    """It is signed, by its key: of another version, of another content, of another day."""
    found = standing(site, site.said(**changes))
    assert found.state != waves.UP_TO_DATE and words in found.reason


def test_proofs_are_those_that_were_signed(site: Site, tmp_path: Path) -> None:
    good = site.said(preuves=[{"cle": "é", "n": 1.5}])
    row = {**good, "numero": 1, "sha256": "a" * 64, "recu": dt.datetime.now(dt.UTC).isoformat()}
    told: dict[str, Any] = {}
    kept = Proofs(tmp_path / "preuves", lambda _known: {"preuves": {NAME: told}, "reste": False}, site.keys)
    told |= {**row, "preuves": [{"cle": "é", "n": 2}]}
    assert kept.bring([NAME]) == {} and "ne sont pas celles" in kept.refused[NAME]
    told |= {**row, "numero": 2}
    assert kept.bring([NAME])[NAME]["preuves"] == good["preuves"]
    # What the door says of it beside is not the machine's word.
    told |= {**row, "numero": 3, "version": 50, "genre": "echec", "posee": False}
    found = kept.bring([NAME])[NAME]
    assert (found["version"], found["genre"], found["posee"]) == (2, "bon", True)
    # One kept by a control node of before, unsigned, is none.
    (tmp_path / "preuves" / f"{NAME}.json").write_text(json.dumps({**row, "signature": ""}))
    told.clear()
    told |= {**row, "numero": 4, "signature": ""}
    assert kept.bring([NAME]) == {}


def test_keys_are_of_certificates_that_the_registry_issued_to_that_machine_and_that_stand(tmp_path: Path) -> None:
    place = tmp_path / "pki"
    authority = Authority(place, Passphrases(place, generate=True))
    authority.ensure(Settings("Groupement", "essai", "1.3.6.1.4.1.59999.59.1", "http://pki.test"))

    def issue(host: str, name: str, common: str, siren: str) -> None:
        request = Request.from_dict(
            {
                "name": name,
                "profile": "client",
                "common_name": common,
                "organization": "Loos",
                "siren": siren,
                "holder": kind_of(common),
            }
        )
        authority.issue(request.csr(request.new_key()), request, Owner(host, "loos"))

    def known() -> dict[str, int]:
        one = waves.Machine(NAME, "loos", SIREN, "commune_pc", "lille", "petite", 1)
        other = waves.Machine(OTHER, "hem", "215902990", "commune_pc", "lille", "petite", 1)
        keys = assemble.keys(tmp_path, {NAME: one, OTHER: other})
        return {name: len([*keys(name)]) for name in (NAME, OTHER, "inconnue")}

    issue(NAME, "flotte", f"Machine - {NAME}", SIREN)
    issue(OTHER, "flotte", f"Machine - {OTHER}", SIREN)  # of another commune's SIREN
    issue("inconnue", "flotte", "Machine - inconnue", SIREN)
    issue(NAME, "tdt", "Connecteur", SIREN)  # of the machine, for something else
    assert known() == {NAME: 1, OTHER: 0, "inconnue": 0}
    [row] = [one for one in authority.listing() if (one["hote"], one["nom"]) == (NAME, "flotte")]
    authority.revoke("compromission", serial=row["serie"])
    assert known() == {NAME: 0, OTHER: 0, "inconnue": 0}
