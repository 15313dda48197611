"""Debian's updates: what the record keeps of each machine, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from creatic.evidence import store, updates
from creatic.evidence.seal import SealKeys

from .conftest import NOTHING
from .test_callback import Rollout

pytestmark = pytest.mark.usefixtures("a_run")

OPENSSL = {"nom": "openssl", "installee": "3.5.1", "disponible": "3.5.2", "securite": True}
PENDING = NOTHING | {"paquets": [OPENSSL]}
ASKED = NOTHING | {"redemarrer": ["Debian le demande (dbus)"]}
BACK = NOTHING | {"demarre": 1_764_003_600}
PROVED = {"cle": "services", "libelle": "Services", "verdict": "ok", "detail": "aucun n'est en échec", "mesures": {}}
PROFILES = {"documents": "ged", "relais": "passerelle", "gondecourt-pc": "commune_pc", "sauvegarde": "backup_server"}


class Updates(Rollout):
    """Drives the callback as playbooks/journeys/updates.yml does."""

    def __init__(self, home: Path, *, check: bool = False) -> None:
        super().__init__(home, list(PROFILES), check, machines=updates, profiles=PROFILES)

    def looked(self, host: str, state: Any, **content: Any) -> None:
        """A machine said what there is to bring to it."""
        self.ok(host, "Updates | Ask", correctifs=state, **content)

    def end(self, failures: tuple[str, ...] = (), dark: tuple[str, ...] = ()) -> dict[str, Any] | None:
        """The end of the run; gives what became of each machine."""
        super().end(failures, dark)
        found = sorted(self.home.glob(f"correctifs/2*/{store.PATCH}"))
        if not found:
            return None
        record = json.loads(found[-1].read_text(encoding="utf-8"))
        return {machine["nom"]: machine for machine in record["machines"]}


def proved_up_to_date(home: Path, host: str) -> dict[str, Any] | None:
    """A run that finds nothing to bring to a machine, and proves that it serves; gives what became of each."""
    run = Updates(home)
    run.play("controles")
    run.looked(host, NOTHING)
    run.play("correctifs")
    run.looked(host, NOTHING)
    run.ok(host, creatic_proof={"preuves": [PROVED]})
    return run.end()


def test_what_was_brought_is_kept_sealed_and_told(tmp_path: Path, keys: SealKeys) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", PENDING)
    run.looked("relais", ASKED)
    run.looked("gondecourt-pc", ASKED | {"sessions": ["claire"], "retenus": ["libreoffice"]})
    run.looked("sauvegarde", NOTHING)
    for host, after in (("documents", NOTHING), ("relais", BACK)):
        run.play("correctifs")
        run.looked(host, after)
        run.ok(host, creatic_proof={"preuves": [PROVED]})
    run.play("correctifs")
    run.looked("gondecourt-pc", ASKED | {"sessions": ["claire"], "retenus": ["libreoffice"]})
    found = run.end()
    assert found is not None
    assert [found[name]["etat"] for name in PROFILES] == ["fait", "fait", "attente", "a_jour"]
    assert all(one["pret"] for one in found.values())
    assert found["documents"]["paquets"] == [OPENSSL] and not found["documents"]["redemarre"]
    assert found["relais"]["redemarre"] and found["relais"]["pourquoi"] == ["Debian le demande (dbus)"]
    assert found["relais"]["preuves"] == [PROVED]
    assert (
        "session ouverte de claire (redémarrage : Debian le demande (dbus))" in run.output
        and "paquets retenus (apt-mark hold) : libreoffice" in run.output
    )
    assert "À jour : 4 sur 4 machines ; 1 correctif, 1 redémarrage dans ce passage." in run.output
    [folder] = tmp_path.glob("correctifs/2*")
    assert store.verify_one(folder, keys.root).intact
    assert "salle d" not in (folder.parent / "index.html").read_text(encoding="utf-8")  # the entry of all updates
    page = (folder / "rapport.html").read_text(encoding="utf-8")
    assert "4 sur 4 à jour" in page and "openssl 3.5.1 → 3.5.2, sécurité" in page and "redémarrée" in page


def test_what_stops_a_machine_is_told_of_it_and_those_after_are_not_begun(tmp_path: Path) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", PENDING)
    run.looked("relais", PENDING)
    run.failed("gondecourt-pc", "il reste 1 Mo")
    run.lost("sauvegarde")
    run.play("correctifs")
    run.failed("documents", "dpkg: error processing package openssl", correctifs=None)
    found = run.end(("documents", "gondecourt-pc"), ("sauvegarde",))
    assert found is not None
    assert [found[name]["etat"] for name in PROFILES] == ["echec", "non_atteint", "refus", "injoignable"]
    assert not any(one["pret"] for one in found.values())
    assert found["documents"]["raison"].startswith("dpkg: error")
    assert "✗ relais (passerelle) : pas commencé, arrêté avant cette machine" in run.output
    assert all(one["remede"] for one in found.values())


def test_what_a_run_left_without_its_proof_is_known_to_the_next(tmp_path: Path) -> None:
    assert updates.unproved(tmp_path) == []
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", PENDING)
    run.looked("relais", PENDING)
    run.play("correctifs")
    run.looked("documents", NOTHING)
    run.failed("documents", "Site ged : il ne répond pas")
    run.end(("documents",))
    assert updates.unproved(tmp_path) == ["documents"]  # relais was not begun: it says itself what is left to do
    run = Updates(tmp_path)
    run.play("controles")
    run.failed("documents", "un service est en échec")
    run.looked("relais", NOTHING)
    run.end(("documents",))
    assert updates.unproved(tmp_path) == ["documents"]
    found = proved_up_to_date(tmp_path, "documents")
    assert found is not None and found["documents"]["etat"] == "a_jour" and found["documents"]["preuves"] == [PROVED]
    assert updates.unproved(tmp_path) == []


def test_what_an_interrupted_run_began_is_proved_by_the_next(tmp_path: Path) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", PENDING)
    run.looked("gondecourt-pc", PENDING)
    run.play("correctifs")
    run.ok("gondecourt-pc", "Updates | Ensure an interrupted installation is finished")
    run.callback._handle_interruption()
    assert not list(tmp_path.glob("correctifs/2*")) and updates.unproved(tmp_path) == ["gondecourt-pc"]
    run = Updates(tmp_path)
    run.play("controles")
    run.failed("gondecourt-pc", "un service est en échec")
    run.looked("documents", NOTHING)
    run.end(("gondecourt-pc",))
    assert updates.unproved(tmp_path) == ["gondecourt-pc"]  # it was refused: nothing was proved yet
    proved_up_to_date(tmp_path, "gondecourt-pc")
    assert updates.unproved(tmp_path) == []


def test_what_is_left_after_the_updates_is_no_success(tmp_path: Path) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", PENDING)
    run.play("correctifs")
    run.looked("documents", PENDING | {"services": ["cron.service"]})
    found = run.end()
    assert found is not None
    assert (found["documents"]["etat"], found["documents"]["paquets"]) == ("reste", [])
    assert found["documents"]["raison"] == (
        "restent openssl ; tournent encore sur ce qui a été remplacé : cron.service"
    )


def test_a_machine_that_answers_something_else_is_told(tmp_path: Path) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    run.looked("documents", {"paquets": "<script>"})
    run.looked("relais", NOTHING)
    found = run.end()
    assert found is not None
    assert found["documents"]["etat"] == "echec" and "réponse refusée" in found["documents"]["raison"]
    assert found["relais"]["pret"]


def test_windows_is_left_to_its_own_updates(tmp_path: Path) -> None:
    run = Updates(tmp_path)
    run.play("controles")
    windows = PROVED | {"cle": "systeme", "verdict": "attention"}
    run.ok("gondecourt-pc", creatic_preflight=[windows])
    run.looked("relais", NOTHING)
    found = run.end()
    assert found is not None and found["gondecourt-pc"]["etat"] == "windows" and found["gondecourt-pc"]["pret"]


def test_the_preview_lists_what_is_pending_and_writes_nothing(tmp_path: Path) -> None:
    run = Updates(tmp_path, check=True)
    run.play("controles")
    kernel = {"nom": "linux-image-6.12.9-amd64", "installee": "", "disponible": "6.12.9-1", "securite": False}
    run.looked("documents", PENDING | {"paquets": [OPENSSL, kernel]})
    run.looked("relais", ASKED | {"services": ["cron.service"], "inacheves": ["nginx"]})
    run.looked("sauvegarde", NOTHING)
    run.failed("gondecourt-pc", "il reste 1 Mo")
    assert run.end(("gondecourt-pc",)) is None
    for line in (
        "documents (ged) : 2 correctifs, dont 1 de sécurité ; redémarrage probable (linux-image-6.12.9-amd64)",
        "documents (ged) :   openssl 3.5.1 → 3.5.2, sécurité",
        "documents (ged) :   linux-image-6.12.9-amd64 nouveau → 6.12.9-1",
        "relais (passerelle) : aucun correctif ; redémarrage : Debian le demande (dbus) ; "
        "installation à finir : nginx ; services à relancer : cron.service",
        "sauvegarde (backup_server) : à jour",
        "✗ gondecourt-pc (commune_pc) : il reste 1 Mo",
        "la plus ancienne mise à jour le 24 novembre 2025",
        "Simulation : rien n'a été changé",
    ):
        assert line in run.output
    assert not list(tmp_path.iterdir())
