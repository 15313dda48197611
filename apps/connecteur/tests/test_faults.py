"""Whatever breaks, and whenever: at the end exactly one act at the TdT per act deposited, and none lost."""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tdt_connector import agent as agent_module
from tdt_connector import intake, service, transmission
from tdt_connector.checks import Submission
from tdt_connector.client import Client
from tdt_connector.driver import RemoteAct
from tdt_connector.drivers import connect
from tdt_connector.errors import Duplicate, Refused, TdtError, Uncertain, Unreachable
from tdt_connector.following import Following
from tdt_connector.journal import Journal, State
from tdt_connector.s2low import S2low
from tdt_simulator.testing import TdtServer

from testbed.connector import FAST, SIREN, Authority, Commune, platform
from testbed.patience import allowed, wait_for

# Every named step of a send, in the order they come; (step, nth time, counted after this other step).
STEPS = [
    ("prise en charge", 1, ""),
    ("copié", 1, ""),
    ("copié sur disque", 1, ""),
    ("pris au journal", 1, ""),
    ("retiré du dépôt", 1, ""),
    ("retiré du dépôt", 2, ""),
    ("nomenclature", 1, ""),
    ("contrôle", 1, ""),
    ("traitement (verifie)", 1, ""),
    ("avant intention", 1, ""),
    ("intention", 1, ""),
    ("octets", 1, "intention"),  # before the connection
    ("octets", 2, "intention"),  # before the body
    ("octets", 3, "intention"),  # the body has left, the answer has not been read
    ("réponse", 1, ""),
    ("envoyé", 1, ""),
    ("traitement (envoye)", 1, ""),
    ("ARActe", 1, ""),
    ("pièces", 1, ""),
    ("avant fin", 1, ""),
    ("fin", 1, ""),
    ("résumé", 1, ""),
    ("classé", 1, ""),
]


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits after an internal error are for production."""
    monkeypatch.setattr(agent_module, "_RETRY", 0.05)
    monkeypatch.setattr(service, "_RETRY", 0.05)


def exactly_once(commune: Commune, tdt: TdtServer, *numbers: str) -> None:
    """One act at the TdT per act deposited, one folder in acquittes/, nothing anywhere else."""
    assert Counter(act["numero"] for act in tdt.acts(siren=SIREN)) == Counter(numbers)
    states = {row.number: row.state for row in commune.rows() if row.state is not State.REJECTED}
    assert states == dict.fromkeys(numbers, State.ACKNOWLEDGED)
    assert len(commune.folder("acquittes")) == len(numbers)
    for folder in commune.folder("acquittes"):
        number = folder.name.split("-")[3]
        assert {"ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf", f"{number}.pdf"} <= {
            path.name for path in folder.iterdir()
        }
    assert [commune.folder(name) for name in ("depot", "en_cours", "rejets")] == [[], [], []]
    with sqlite3.connect(commune.config.journal) as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(("step", "nth", "after"), STEPS)
def test_killed_at_a_step_an_act_is_sent_once(
    commune: Commune, tdt: TdtServer, step: str, nth: int, after: str
) -> None:
    commune.drop("2026_001")
    left = STEPS.index((step, nth, after)) >= STEPS.index(("octets", 3, "intention"))

    def taken() -> None:
        """Nobody knows what a TdT takes of a body whose sender dies at once: here it has taken it."""
        if left:
            wait_for(tdt.acts, "l'acte au TdT", every=0.02)

    assert commune.crash(step, nth, after, before=taken), f"« {step} » n'est pas une étape"
    heard: list[str] = []
    commune.run(on_step=heard.append)
    exactly_once(commune, tdt, "2026_001")
    # What the TdT had recorded was found again, not posted again: its own guard was not even needed.
    assert ("intention" in heard) is not left


def test_every_step_is_tested(commune: Commune) -> None:
    commune.drop("2026_001")
    heard: list[str] = []
    commune.run(on_step=heard.append)
    elsewhere = {"cycle", "retrait du dépôt", "demande de nomenclature", "réponse de nomenclature", "réception"}
    assert set(heard) - elsewhere == {step for step, _, _ in STEPS}


@pytest.mark.parametrize("step", ["refus au journal", "déplacé du dépôt", "classé"])
def test_killed_while_refusing_nothing_is_lost(commune: Commune, tdt: TdtServer, step: str) -> None:
    commune.drop("2026_001", nature="", unknown="x")
    assert commune.crash(step)
    commune.run()
    assert "Champ « unknown » inconnu" in commune.motive()
    (folder,) = commune.folder("rejets")
    assert {"2026_001.pdf", "2026_001.yml", "motif.txt"} <= {path.name for path in folder.iterdir()}
    assert not tdt.acts()


@pytest.mark.parametrize("step", ["rejet", "résumé", "classé"])
def test_killed_while_rejecting_nothing_is_lost(commune: Commune, tdt: TdtServer, step: str) -> None:
    commune.drop("2026_001", date="2999-01-01")
    assert commune.crash(step)
    commune.run()
    assert "dans le futur" in commune.motive()
    assert not commune.folder("en_cours")
    assert not tdt.acts()


@pytest.mark.parametrize(("step", "after"), [("intention", ""), ("réponse", ""), ("fin", "")])
def test_killed_while_sending_a_pes_it_is_sent_once(commune: Commune, tdt: TdtServer, step: str, after: str) -> None:
    commune.drop_pes()
    assert commune.crash(step, after=after)
    commune.run()
    assert len(tdt.pes(siren=SIREN)) == 1
    (row,) = commune.rows()
    assert row.state is State.ACKNOWLEDGED


def test_killed_again_and_again_the_service_sends_each_act_once(
    commune: Commune, tdt: TdtServer, tmp_path: Path
) -> None:
    """The real process, SIGKILLed at random moments (the seed makes them the same each time)."""
    commune.write_config(tmp_path / "config.yml")
    chance = random.Random(59)  # noqa: S311 - moments of a test, not a secret
    numbers = [commune.drop(f"2026_{rank:03d}") for rank in range(6)]
    command = [sys.executable, "-m", "tdt_connector", "--config", str(tmp_path / "config.yml"), "run"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(allowed(0.6 + chance.random() * 0.6))  # importing takes most of the first second
        process.kill()
        process.wait()
    commune.run()
    exactly_once(commune, tdt, *numbers)


# -- the disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("prise en charge", ""),
        ("copié sur disque", ""),
        ("pris au journal", ""),
        ("contrôle", ""),
        ("avant intention", ""),
        ("intention", ""),
        ("réponse", ""),
        ("ARActe", ""),
        ("fin", ""),
    ],
)
def test_disk_full_from_a_step_on_then_freed(commune: Commune, tdt: TdtServer, step: str, after: str) -> None:
    commune.drop("2026_001")

    def work() -> None:
        stop = threading.Event()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        full, full_at = False, 0.0

        def hear(name: str) -> None:
            nonlocal full, full_at
            if name == step and not full_at:
                full, full_at = True, time.monotonic()
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            elif full and time.monotonic() > full_at + 0.2:
                full = False
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            elif not full and name == "cycle" and commune.settled():
                stop.set()

        driver = connect(commune.config)

        def worked() -> bool:
            service.work(commune.config, driver, hear, stop)
            return stop.is_set()

        wait_for(worked, "l'agent au bout, le disque libéré", every=0)
        assert full_at

    assert commune.child(work) == 0
    exactly_once(commune, tdt, "2026_001")


# -- the TdT and the network ------------------------------------------------------------------------------


def test_tdt_down_from_the_start_the_acts_wait_and_leave_once_it_is_up(commune: Commune, tdt: TdtServer) -> None:
    tdt.stop()
    numbers = [commune.drop(f"2026_00{rank}") for rank in range(3)]
    commune.run_beyond(lambda: len(commune.rows()) == len(numbers) and bool(commune.trouble()))
    assert {row.state for row in commune.rows()} == {State.DEPOSITED}
    assert len(commune.folder("en_cours")) == len(numbers)
    tdt.start()
    commune.run()
    exactly_once(commune, tdt, *numbers)


def test_tdt_down_in_the_middle(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    tdt.stop()
    commune.drop("2026_002")
    commune.run_beyond(lambda: len(commune.rows()) == 2 and "refuse la connexion" in commune.trouble())
    assert commune.row("2026_002").state is State.CHECKED
    tdt.start()
    commune.run()
    exactly_once(commune, tdt, "2026_001", "2026_002")


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("coupure", {"times": 1, "target": "actes_transac_create"}),
        ("coupure", {"times": 3}),
        ("erreur500", {"times": 1, "target": "actes_transac_create"}),
        ("lent", {"times": 1, "seconds": 0.8, "target": "actes_transac_create"}),
        ("panne", {"times": 4}),
    ],
)
def test_a_lost_answer_never_makes_a_second_act(
    commune: Commune, tdt: TdtServer, fault: str, options: dict[str, object]
) -> None:
    commune.config = replace(commune.config, delais=replace(FAST, http=0.4))
    tdt.fault(fault, **options)  # type: ignore[arg-type]  # the table above mixes texts and numbers
    commune.drop("2026_001")
    commune.run()
    exactly_once(commune, tdt, "2026_001")


def test_a_pes_whose_answer_was_cut_is_found_again(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("coupure", times=1, target="helios_importer")
    commune.drop_pes()
    commune.run()
    assert len(tdt.pes(siren=SIREN)) == 1
    (row,) = commune.rows()
    assert row.state is State.ACKNOWLEDGED


def test_cut_answer_and_crash_at_once(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("coupure", times=1, target="actes_transac_create")
    commune.drop("2026_001")
    assert commune.crash("rapprochement")
    assert commune.row().state is State.INTENT
    heard: list[str] = []
    commune.run(on_step=heard.append)
    assert "intention" not in heard
    exactly_once(commune, tdt, "2026_001")


def test_an_act_found_again_before_its_aracte_is_adopted(commune: Commune, tdt: TdtServer) -> None:
    """Its content cannot be compared yet, but an interrupted send of this very act is known."""
    commune.introduce()
    tdt.fault("bloque3")
    commune.drop("2026_001")
    assert commune.crash("réponse")
    commune.run(until=lambda: any(row.state is State.SENT for row in commune.rows()))
    tdt.clear_faults()
    commune.run()
    exactly_once(commune, tdt, "2026_001")


def test_an_act_the_tdt_never_got_is_sent_again_only_after_two_looks(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("erreur500", times=1, target="actes_transac_create")
    commune.drop("2026_001")
    heard: list[str] = []
    commune.run(on_step=heard.append)
    assert heard.count("rapprochement") == 2
    assert heard.count("intention") == 2
    exactly_once(commune, tdt, "2026_001")


def test_an_act_that_never_gets_an_answer_is_left_to_a_person(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transmission, "_SENDS", 1)
    tdt.fault("erreur500", target="actes_transac_create")
    commune.drop("2026_001")
    commune.run()
    row = commune.row()
    assert row.state is State.TO_RECONCILE
    assert "retry 2026_001 --absent" in row.detail
    assert not tdt.acts()


def test_when_the_list_is_not_available_a_person_decides(commune: Commune, tdt: TdtServer) -> None:
    tdt.fault("coupure", times=1, target="actes_transac_create")
    commune.drop("2026_001")

    def no_list(self: S2low, path: str, status: int) -> list[dict[str, object]]:
        raise Refused("le TdT ne donne pas la liste des transactions.", "liste")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S2low, "_pages", no_list)
        commune.run()
    row = commune.row()
    assert row.state is State.TO_RECONCILE
    assert "retry 2026_001 --transaction" in row.detail
    assert len(tdt.acts()) == 1


PARKED = (
    " Cherchez-le sur le site du TdT : s'il y est, « tdt-connector retry 2026_001 --transaction N » avec son numéro "
    "de transaction ; s'il n'y est pas, « tdt-connector retry 2026_001 --absent »."
)


def other(transaction: int, subject: str = "Délibération n° 12 : école d'été", day: str = "2026-01-15") -> RemoteAct:
    """An act of the same number in the TdT's list."""
    return RemoteAct(transaction, "2026_001", subject, day, 4)


def lose_the_answer(driver: S2low, act: Submission, folder: Path) -> int:
    raise Uncertain("la réponse s'est perdue.", "coupure")


def say_duplicate(driver: S2low, act: Submission, folder: Path) -> int:
    raise Duplicate("le TdT a répondu : doublon", "doublon")


@pytest.mark.parametrize(
    ("submit", "listed", "original", "state", "detail"),
    [
        (lose_the_answer, [other(7), other(8)], None, State.TO_RECONCILE,
         f"Le TdT liste plusieurs actes « 2026_001 » (transactions 7, 8).{PARKED}"),
        (say_duplicate, [], None, State.REJECTED,
         "le numéro « 2026_001 » est déjà utilisé au TdT, par un dépôt que ce connecteur ne voit pas ; "
         "consultez le site du TdT."),
        (say_duplicate, [other(7)], None, State.TO_RECONCILE,
         "Le TdT a déjà un acte de même numéro, date et objet (transaction 7, du 2026-01-15, « Délibération n° 12 : "
         "école d'été »), que ce connecteur n'a pas envoyé, et ne donne pas encore son contenu à comparer."
         + PARKED),
        (lose_the_answer, [other(7, day="2026-01-16")], None, State.REJECTED,
         "champ « numero » : « 2026_001 » est déjà utilisé au TdT par un autre acte (transaction 7, du 2026-01-16, "
         "« Délibération n° 12 : école d'été »). Choisissez un autre numéro, par exemple avec un suffixe."),
        (lose_the_answer, [other(7)], b"%PDF- un autre", State.REJECTED,
         "champ « numero » : « 2026_001 » est déjà utilisé au TdT par un autre acte (transaction 7, du 2026-01-15, "
         "« Délibération n° 12 : école d'été »). Choisissez un autre numéro, par exemple avec un suffixe."),
        (lose_the_answer, [other(7)], None, State.SENT, "Retrouvé dans la liste du TdT."),
        (lose_the_answer, [other(7, "DELIBERATION N° 12  ecole d'ete", "2026-01-15 10:00:00")], None, State.SENT,
         "Retrouvé dans la liste du TdT."),
    ],
    ids=["several", "hidden", "not ours", "another day", "another document", "found", "found, written otherwise"],
)  # fmt: skip # a case a line
def test_what_the_list_shows_decides(
    commune: Commune,
    monkeypatch: pytest.MonkeyPatch,
    submit: Callable[[S2low, Submission, Path], int],
    listed: list[RemoteAct],
    original: bytes | None,
    state: State,
    detail: str,
) -> None:
    monkeypatch.setattr(S2low, "submit_act", submit)
    monkeypatch.setattr(S2low, "find_acts", lambda driver, number: listed)
    monkeypatch.setattr(S2low, "act_original", lambda driver, transaction: original)
    monkeypatch.setattr(Following, "poll", lambda following, row: None)
    commune.drop("2026_001")
    commune.run(until=lambda: any(row.state is state for row in commune.rows()))
    row = commune.row()
    assert (row.detail, row.transaction) == (detail, 7 if state is State.SENT else None)


def test_a_list_that_does_not_answer_is_asked_again(commune: Commune, tdt: TdtServer) -> None:
    asked: list[str] = []

    def away(driver: S2low, number: str) -> list[RemoteAct]:
        asked.append(number)
        raise Unreachable("le TdT est saturé (HTTP 429).", "panne")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S2low, "submit_act", lose_the_answer)
        patch.setattr(S2low, "find_acts", away)
        commune.drop("2026_001")
        commune.run(until=lambda: len(asked) > 1)
        row = commune.row()
        assert (row.state, row.uncertain) == (State.INTENT, True)
        assert commune.trouble() == "le TdT est saturé (HTTP 429)."
    commune.run()
    exactly_once(commune, tdt, "2026_001")


def test_a_duplicate_that_nothing_shows_is_left_to_a_person(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the first try was lost: the duplicate may well be that one."""
    monkeypatch.setattr(S2low, "submit_act", lose_the_answer)
    monkeypatch.setattr(S2low, "find_acts", lambda driver, number: [])

    def hear(step: str) -> None:
        if any(row.attempts and row.uncertain for row in commune.rows()):
            monkeypatch.setattr(S2low, "submit_act", say_duplicate)

    commune.drop("2026_001")
    commune.run(on_step=hear, until=lambda: any(row.state is State.TO_RECONCILE for row in commune.rows()))
    told = "Le TdT dit avoir déjà ce dépôt mais ne le montre pas dans sa liste."
    assert commune.row().detail == told + PARKED


def test_an_internal_error_on_one_act_does_not_hold_the_others(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "_RETRY", 3600)
    submit = S2low.submit_act

    def broken(driver: S2low, act: Submission, folder: Path) -> int:
        if act.number == "2026_001":
            raise RuntimeError("boum")
        return submit(driver, act, folder)

    monkeypatch.setattr(S2low, "submit_act", broken)
    for number in ("2026_001", "2026_002"):
        commune.drop(number)
    commune.run(until=lambda: any(row.state is State.ACKNOWLEDGED for row in commune.rows()))
    row = commune.row("2026_001")
    assert (row.state, row.uncertain, row.absences) == (State.INTENT, True, 0)
    assert row.detail == "traitement (verifie) impossible : boum"
    assert row.due > time.time() + 3000
    assert len(tdt.acts(number="2026_002")) == 1


def test_what_the_journal_does_not_know_is_not_sent(commune: Commune, tdt: TdtServer) -> None:
    """An older journal was restored: the copy may have been sent. One that is still in depot/ is only a copy."""
    commune.config = replace(commune.config, delais=replace(FAST, stabilite=3600.0))
    known, lost = (commune.root / "en_cours" / name for name in ("copie", "20260115-perdu"))
    for folder in (known, lost):
        folder.mkdir()
        (folder / "acte.pdf").write_bytes(b"%PDF-1.4 acte")
    (lost / "acte.yml").write_text("numero: PERDU\n")
    commune.put("acte.pdf", b"%PDF-1.4 acte")
    commune.run(until=lambda: True)
    assert commune.folder("en_cours") == []
    (folder,) = commune.folder("rejets")
    assert {path.name for path in folder.iterdir()} == {"acte.pdf", "acte.yml", "motif.txt", "resume.json"}
    assert "Le journal ne connaît pas ce dépôt (journal restauré ?) ; vérifiez au TdT, puis" in commune.motive()
    assert [path.name for path in commune.folder("depot")] == ["acte.pdf"]
    (row,) = commune.rows()
    assert (row.state, row.filed, row.cleared) == (State.REJECTED, True, True)
    assert not tdt.acts()


def test_a_file_that_changes_while_it_is_copied_waits(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = intake.copy
    cut: list[str] = []

    def longer(source: Path, target: Path, most: int) -> Any:
        found = copy(source, target, most)
        if not cut:
            cut.append(target.name)
            target.write_bytes(b"%PDF-")
        return found

    monkeypatch.setattr(intake, "copy", longer)
    commune.drop("2026_001")
    commune.run()
    assert cut
    assert [row.state for row in commune.rows()] == [State.ACKNOWLEDGED]
    assert commune.folder("en_cours") == []


# -- certificates -----------------------------------------------------------------------------------------


def refused_contact(commune: Commune) -> TdtError:
    """The error met by a single call."""
    driver = connect(commune.config)
    with pytest.raises(TdtError) as caught:
        driver.check_connection()
    driver.close()
    return caught.value


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("autre autorité", "serveur_autorite", "autorité inconnue"),
        ("expiré", "serveur_expire", "a expiré"),
        ("autosigné", "serveur_autosigne", "autosigné"),
        ("autre nom", "serveur_nom", "porte un autre nom"),
    ],
)
def test_an_unproven_server_gets_nothing(
    tmp_path: Path, authority: Authority, stranger: Authority, case: str, kind: str, words: str
) -> None:
    name = f"serveur-{kind}".replace("_", "-")
    certificate = {
        "autre autorité": lambda: stranger.folder / "tdt",
        "expiré": lambda: authority.issue(name, "server", days_ago=400),
        "autosigné": lambda: authority.self_signed(name),
        "autre nom": lambda: authority.issue(name, "server", dns=("autre.test",)),
    }[case]()
    with platform(tmp_path / "tdt", authority, certificate) as tdt:
        commune = Commune(tmp_path / "commune", tdt.url, authority)
        error = refused_contact(commune)
        assert (error.kind, words in str(error)) == (kind, True), str(error)
        commune.drop("2026_001")
        commune.run_beyond(lambda: bool(commune.rows()) and words in commune.trouble())
        assert not tdt.acts()
        (row,) = commune.rows()
        assert row.state is State.DEPOSITED


def test_a_revoked_certificate_is_refused_then_replaced_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    revoked, good = authority.issue("revoque"), authority.folder / "commune"
    current = tmp_path / "current"
    current.symlink_to(revoked)
    with platform(tmp_path / "tdt", authority, crl=authority.crl(revoked)) as tdt:
        commune = Commune(tmp_path / "commune", tdt.url, authority, certificat=current)
        commune.drop("2026_001")
        refused: list[str] = []

        def swap(step: str) -> None:
            """Once the agent has met the refusal, the renewed certificate takes its place."""
            with Journal(commune.config.journal) as journal:
                error = journal.value("contact_erreur")
            if error and current.readlink() != good:
                refused.append(error)
                (tmp_path / "next").symlink_to(good)
                (tmp_path / "next").replace(current)

        commune.run(on_step=swap)
        assert "révoqué" in refused[0]
        exactly_once(commune, tdt, "2026_001")


def test_a_renewed_certificate_is_used_at_once(commune: Commune, authority: Authority, tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(authority.folder / "commune")
    commune.config = replace(commune.config, certificat=current)
    client = Client(commune.config)
    assert S2low(client).logins() == [SIREN]
    before = client._current_session()
    assert client._current_session() is before
    (tmp_path / "next").symlink_to(authority.issue("autre-commune", siren="215900358"))
    (tmp_path / "next").replace(current)
    assert client._current_session() is not before  # a connection kept open would go on with the old one
    assert S2low(client).logins() == []
    client.close()


@pytest.mark.parametrize(("case", "kind"), [("expiré", "client_expire"), ("autre autorité", "client_autorite")])
def test_an_unusable_client_certificate_sends_nothing_and_says_why(
    commune: Commune, tdt: TdtServer, authority: Authority, stranger: Authority, case: str, kind: str
) -> None:
    certificate = stranger.folder / "commune" if case == "autre autorité" else authority.issue("perime", days_ago=400)
    commune.config = replace(commune.config, certificat=certificate)
    assert refused_contact(commune).kind == kind
    commune.drop("2026_001")
    commune.run_beyond(lambda: bool(commune.rows() and commune.trouble()))
    assert not tdt.acts()
    assert [row.state for row in commune.rows()] == [State.DEPOSITED]


def test_a_certificate_unknown_to_the_tdt(commune: Commune, authority: Authority) -> None:
    commune.config = replace(commune.config, certificat=authority.issue("inconnu", siren="215900358"))
    commune.drop("2026_001")
    commune.run_beyond(lambda: bool(commune.rows()) and "aucun compte trouvé" in commune.trouble())
    assert [row.state for row in commune.rows()] == [State.DEPOSITED]


def test_a_certificate_that_is_not_rgs_keeps_the_act_waiting(tmp_path: Path, authority: Authority) -> None:
    with platform(tmp_path / "tdt", authority, rgs_policies=("1.2.3.4",)) as tdt:
        commune = Commune(tmp_path / "commune", tdt.url, authority)
        commune.drop("2026_001")
        commune.run_beyond(lambda: any("RGS" in row.detail for row in commune.rows()))
        assert commune.row().state is State.CHECKED
        assert "RGS" in commune.row().detail
        assert not tdt.acts()
