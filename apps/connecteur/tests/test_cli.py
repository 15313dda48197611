"""The command as people use it, and the service as systemd runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tdt_connector import cli, config
from tdt_connector.agent import Agent
from tdt_connector.drivers import connect
from tdt_connector.errors import Refused
from tdt_connector.journal import Journal, SeenFile, State
from tdt_connector.proof import test_pdf as make_pdf
from tdt_connector.s2low import S2low
from tdt_simulator.testing import TdtServer

from testbed.connector import SIREN, Commune
from testbed.patience import wait_for

Run = Callable[..., int]


@pytest.fixture
def config_file(commune: Commune, tmp_path: Path) -> Path:
    """The commune's configuration as a file."""
    return commune.write_config(tmp_path / "config.yml")


@pytest.fixture
def command(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process."""
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    return lambda *words: cli.main(["--config", str(config_file), *words])


def test_nothing_makes_a_journal_in_place_of_one_that_is_to_come_back(
    commune: Commune, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine made anew, what it sent before would go out a second time."""
    awaited = tmp_path / "connecteur-journal-attendu"
    monkeypatch.setattr(config, "AWAITED", awaited)
    awaited.touch()
    for words in (["status"], ["proof"], ["run"]):
        assert command(*words) != 0
        assert "le journal n'est plus là" in capsys.readouterr().err
    assert not commune.config.journal.exists()
    with commune.agent():
        pass
    assert command("status") == 0


@contextmanager
def working(commune: Commune) -> Iterator[None]:
    """An agent at work in a thread, as the service is while someone types commands."""
    stop = threading.Event()

    def work() -> None:
        with commune.agent() as agent:
            while not stop.is_set():
                stop.wait(min(0.05, agent.cycle()))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_help_is_french(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for word in ("usage :", "commandes", "affiche cette aide", "Déposer un acte", "doctor", "à rapprocher"):
        assert word in text
    for word in ("show this help", "positional", "optional", "arguments:"):
        assert word not in text
    for name in ("run", "status", "send", "retry", "doctor", "proof"):
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        assert "show this help" not in capsys.readouterr().out


def test_misuse_is_told_in_french(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["status", "--nombre", "x"])
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert "erreur : argument --nombre : valeur incorrecte : 'x'" in text


def test_send_checks_then_deposits(
    commune: Commune, command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acte.pdf").write_bytes(make_pdf("Acte", "1"))
    description = "numero: 2026_001\nobjet: Voirie : rue #2\ndate: 2026-01-15\nnature: 1\nclassification: 7.5\n"
    (tmp_path / "acte.yml").write_text(description + "type: 99_DE\n")
    assert command("send", str(tmp_path / "absent.pdf")) == 1
    assert "n'existe pas" in capsys.readouterr().err
    commune.introduce()
    (tmp_path / "acte.yml").write_text(description)
    assert command("send", str(tmp_path / "acte.pdf")) == 1
    assert "champ « type » absent" in capsys.readouterr().err
    assert not commune.folder("depot")
    (tmp_path / "acte.yml").write_text(description + "type: 99_DE\n")
    assert command("send", str(tmp_path / "acte.pdf")) == 0
    assert "Suivez avec" in capsys.readouterr().out
    assert command("send", str(tmp_path / "acte.pdf")) == 1
    assert "déjà dans le dossier de dépôt" in capsys.readouterr().err
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED


def test_send_names_every_fault_before_the_deposit(
    commune: Commune, command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pdf, described = tmp_path / "acte.pdf", tmp_path / "autre.yaml"
    pdf.write_bytes(make_pdf("Acte", "1"))

    def told(text: str, *options: str) -> str:
        described.write_text(text)
        assert command("send", str(pdf), "--description", str(described), *options) == 1
        assert commune.folder("depot") == []
        return capsys.readouterr().err

    assert command("send", str(pdf)) == 1
    expected = f"« {tmp_path / 'acte.yml'} » n'existe pas : il faut décrire l'acte (voir tdt-connector --help).\n"
    assert capsys.readouterr().err == expected
    assert told("genre: facture\n").startswith("Rien n'est déposé :\n  - ")
    wrong = "champ « fichier » : « b.pdf » n'est pas le fichier donné, « acte.pdf »."
    assert told("fichier: b.pdf\n") == f"Rien n'est déposé :\n  - {wrong}\n"
    absent = "annexe « plan.pdf » introuvable à côté de l'acte."
    assert told("annexes: [{fichier: plan.pdf, type: 99_AU}]\n") == f"Rien n'est déposé :\n  - {absent}\n"
    # Before the nomenclature is there, what can be checked without it is.
    assert "champ « numero » absent" in told("objet: x\n")
    described.write_text("numero: 2026_001\nannexes: [{fichier: plan.pdf, type: 99_AU}]\n")
    (tmp_path / "plan.pdf").write_bytes(make_pdf("Plan", "1"))
    assert command("send", str(pdf), "--description", str(described)) == 0
    assert capsys.readouterr().out == ("Déposé : acte.pdf, plan.pdf, acte.yml. Suivez avec « tdt-connector status ».\n")
    assert [path.name for path in commune.folder("depot")] == ["acte.pdf", "acte.yml", "plan.pdf"]


def test_send_checks_a_flow(commune: Commune, command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = tmp_path / "flux.XML"
    flow.write_bytes(b"<facture/>")
    assert command("send", str(flow)) == 1
    assert "n'est pas un flux PES" in capsys.readouterr().err
    flow.write_bytes(commune.drop_pes("modele.xml"))
    (commune.root / "depot" / "modele.xml").unlink()
    assert command("send", str(flow)) == 0
    assert [path.name for path in commune.folder("depot")] == ["flux.XML"]


def test_what_is_relayed_is_told(
    command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = ["un", "deux"]
    monkeypatch.setattr(cli.Passerelle, "__init__", lambda passerelle, config, journal: None)
    monkeypatch.setattr(cli.Passerelle, "relay", lambda passerelle: done)
    assert command("relever") == 0
    assert capsys.readouterr().out == "un\ndeux\n"
    done.clear()
    assert command("relever") == 0
    assert capsys.readouterr().out == "Rien de neuf.\n"

    def away(passerelle: object) -> list[str]:
        raise cli.HandoverError("elle ne répond pas.")

    monkeypatch.setattr(cli.Passerelle, "relay", away)
    assert command("relever") == 75
    assert capsys.readouterr() == ("", "Passerelle : elle ne répond pas.\n")


def test_what_cannot_be_retried_is_told(commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert command("retry", *words) == 1
        return capsys.readouterr().err

    with Journal(commune.config.journal) as journal:
        row = journal.add("ref", "acte", [SeenFile("a.pdf", 1, 2, 3, "x")])
        assert told("ref") == "« ref » n'est ni à rapprocher ni rejeté : il est « déposé ».\n"
        assert told("rien") == "« rien » n'est ni à rapprocher ni rejeté : aucun dépôt ne porte ce nom.\n"
        journal.move(row, State.REJECTED, detail="Trop large.")
    for option in (["--absent"], ["--transaction", "7"]):
        assert told("ref", *option) == "--transaction et --absent ne servent qu'à un dépôt « à rapprocher ».\n"
    assert told("ref") == f"Rien n'est changé : « a.pdf » n'est plus dans {commune.root / 'rejets' / 'ref'}.\n"
    assert command("status", "ref", "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["reference"], shown["detail"], shown["aracte_le"]) == ("ref", "Trop large.", None)


def test_root_becomes_the_service_s_account(commune: Commune, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[Any, ...]] = []
    for name in ("initgroups", "setgid", "setuid", "umask"):
        monkeypatch.setattr(cli.os, name, lambda *given, name=name: done.append((name, *given)))
    monkeypatch.setattr(cli.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="tdt", pw_uid=uid, pw_gid=78))
    there, owner = True, 77
    folder = SimpleNamespace(is_dir=lambda: there, stat=lambda: SimpleNamespace(st_uid=owner))
    config: Any = SimpleNamespace(folder_state=folder)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    cli._become_service(config)
    assert done == [("initgroups", "tdt", 78), ("setgid", 78), ("setuid", 77), ("umask", 0o027)]
    done.clear()
    owner = 0  # not installed by the role: root's own
    cli._become_service(config)
    assert done == [("umask", 0o027)]
    done.clear()
    there = False
    cli._become_service(config)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 77)
    there = True
    cli._become_service(config)
    assert done == []


def test_status_shows_deposits_and_their_history(
    commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    commune.drop("2026_001")
    commune.drop("2026_002", date="2999-01-01", stem="futur")
    commune.run()
    assert command("status") == 0
    text = capsys.readouterr().out
    assert "acquitté" in text
    assert "059-215902669-20260115-2026_001-DE" in text
    assert "dans le futur" in text
    assert "1 acquitté, 1 rejeté" in text
    assert command("status", "2026_001") == 0
    text = capsys.readouterr().out
    steps = ["déposé", "vérifié", "envoi en cours", "envoyé", "acquitté"]
    assert [text.index(f"  {step}") for step in steps[:-1]] == sorted(text.index(f"  {step}") for step in steps[:-1])
    assert "rangé dans acquittes/059-215902669" in text
    assert command("status", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["etats"]["acquitte"] == 1
    assert document["dernier_contact"]
    assert command("status", "INCONNU") == 1


def test_retry_puts_a_rejected_act_back(commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    commune.drop("2026_001", pdf=b"pas un pdf")
    commune.run()
    (row,) = commune.rows()
    assert command("retry", row.ref) == 0
    assert {path.name for path in commune.folder("depot")} == {"2026_001.pdf", "2026_001.yml"}
    assert command("retry", row.ref) == 1
    assert "déjà déposé" in capsys.readouterr().err
    assert command("retry", "2026_999") == 1
    assert "aucun dépôt ne porte ce nom" in capsys.readouterr().err


@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_written_through_a_link_of_the_hot_folder(
    commune: Commune, command: Run, tmp_path: Path, again: bool
) -> None:
    precious = commune.root / "etat" / "precieux"
    precious.write_bytes(b"le journal")
    for name in ("a.pdf", "a.yml", "flux.xml"):
        for planted in (f"{name}.part", f".{name}.part"):
            (commune.config.folder_depot / planted).symlink_to(precious)
    if again:
        commune.drop("2026_001", stem="a", pdf=b"pas un pdf")
        commune.run(until=lambda: bool(commune.folder("rejets")))
        assert command("retry", commune.rows()[0].ref) == 0
        assert (commune.config.folder_depot / "a.pdf").read_bytes() == b"pas un pdf"
    else:
        (tmp_path / "flux.xml").write_bytes(commune.drop_pes("autre.xml"))
        assert command("send", str(tmp_path / "flux.xml")) == 0
        assert (commune.config.folder_depot / "flux.xml").stat().st_mode & 0o777 == 0o640
    assert precious.read_bytes() == b"le journal"


def test_a_link_that_was_refused_is_never_brought_back(
    commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = commune.root / "etat" / "secret"
    secret.write_bytes(b"secret")
    (commune.config.folder_depot / "flux.xml").symlink_to(secret)
    commune.run(until=lambda: bool(commune.folder("rejets")))
    assert command("retry", commune.rows()[0].ref) == 1
    assert "« flux.xml » n'est plus dans" in capsys.readouterr().err
    assert commune.folder("depot") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("dossier", "state", "words"),
    [
        (0o750, 0o700, "{root} : votre compte « nobody » n'est pas du groupe « daemon », qui y a droit. Demandez"),
        (
            0o755,
            0o700,
            "{root}/etat : votre compte « nobody » n'est pas du groupe « daemon », et seul le compte « root »",
        ),
        (
            0o755,
            0o755,
            "{root}/etat : votre compte « nobody » n'est pas du groupe « daemon », et seul le compte « root »",
        ),
        (0o755, 0o770, "{root}/etat : votre compte « nobody » n'est pas du groupe « daemon », qui y a droit."),
    ],
)
@pytest.mark.parametrize("words_of", [["status"], ["status", "--json"], ["retry", "x"], ["relever"]])
def test_who_may_not_read_the_journal_is_told_which_group_is_missing(
    commune: Commune, config_file: Path, tmp_path: Path, dossier: int, state: int, words: str, words_of: list[str]
) -> None:
    with Journal(commune.config.journal):
        pass
    tmp_path.chmod(0o755)
    config_file.chmod(0o644)  # whatever umask a command of another test left
    for path, mode in ((commune.root, dossier), (commune.config.folder_state, state)):
        os.chown(path, 0, 1)  # daemon
        path.chmod(mode)
    told = tmp_path / "dit"
    handle = os.open(told, os.O_WRONLY | os.O_CREAT)

    def ask() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        sys.stderr = os.fdopen(handle, "w")
        assert cli.main(["--config", str(config_file), *words_of]) == 1
        sys.stderr.flush()

    assert commune.child(ask) == 0
    os.close(handle)
    expected = f"Accès refusé à {words.format(root=commune.root)}"
    assert told.read_text().startswith(expected), told.read_text()
    assert "avec sudo." in told.read_text()


def parked(commune: Commune, tdt: TdtServer) -> None:
    """An act whose fate is not known: the TdT recorded it, the answer was lost, the list shows two."""
    commune.introduce()
    tdt.fault("coupure", times=1, target="actes_transac_create")
    commune.drop("2026_001")
    delays = commune.config.delais  # no look at the list meanwhile:
    commune.config = replace(commune.config, delais=replace(delays, rapprochement=3600))
    commune.run(until=lambda: any(row.state is State.INTENT and row.uncertain for row in commune.rows()))
    commune.config = replace(commune.config, delais=delays)
    with Journal(commune.config.journal) as journal:
        journal.move(commune.row(), State.TO_RECONCILE, detail="Cherchez-le.")


def test_retry_with_the_transaction_a_person_found(
    commune: Commune, tdt: TdtServer, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    parked(commune, tdt)
    assert command("retry", "2026_001", "--transaction", "99999") == 1
    assert "Rien n'est changé" in capsys.readouterr().err
    assert commune.row().state is State.TO_RECONCILE
    (act,) = tdt.acts()
    assert command("retry", "2026_001", "--transaction", str(act["transaction"])) == 0
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1


def test_retry_alone_looks_again_and_sends_nothing(commune: Commune, tdt: TdtServer, command: Run) -> None:
    parked(commune, tdt)
    assert command("retry", "2026_001") == 0
    row = commune.row()
    assert (row.state, row.uncertain, row.absences) == (State.INTENT, True, 0)
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1


def test_retry_absent_by_mistake_still_makes_one_act(commune: Commune, tdt: TdtServer, command: Run) -> None:
    """The person was wrong: the platform's own guard answers, and the act is found again."""
    parked(commune, tdt)
    assert command("retry", "2026_001", "--absent") == 0
    row = commune.row()
    assert (row.state, row.absences, row.attempts) == (State.CHECKED, 0, 0)
    commune.run()
    assert commune.row().state is State.ACKNOWLEDGED
    assert len(tdt.acts()) == 1


def test_doctor(commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    commune.introduce()
    assert command("doctor", "--json") == 0
    assert {item["verdict"] for item in json.loads(capsys.readouterr().out)} == {"ok"}
    (commune.root / "lettres").rmdir()
    assert command("doctor") == 1
    assert "ÉCHEC      Dossiers et droits" in capsys.readouterr().out


def test_proof_ends_with_an_aracte(
    commune: Commune, tdt: TdtServer, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with working(commune):
        assert command("proof", "--delai", "40") == 0
    document = json.loads(capsys.readouterr().out)
    verdicts = {item["cle"]: item["verdict"] for item in document["preuves"]}
    assert verdicts == dict.fromkeys(["connexion", "compte", "rgs", "classification", "acte"], "ok")
    assert all(item["detail"] and item["libelle"] for item in document["preuves"])
    measures = document["preuves"][-1]["mesures"]
    assert measures["idacte"].startswith(f"059-{SIREN}-")
    assert measures["numero"].startswith("TEST_")
    names = [Path(path).name for path in document["fichiers"]]
    assert names == ["ARActe.xml", "acte-tamponne.pdf", "bordereau.pdf", "resume.json"]
    assert all(Path(path).is_absolute() and Path(path).stat().st_size for path in document["fichiers"])


def test_proof_in_production_transmits_nothing(
    commune: Commune, tdt: TdtServer, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with working(commune):
        assert command("proof", "--production", "--delai", "40") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["preuves"][-1]["verdict"] == "ok"
    assert "puis annulé" in document["preuves"][-1]["detail"]
    (act,) = tdt.acts()
    assert act["statut"] == 0
    assert document["fichiers"] == []


def test_proof_in_production_when_the_tdt_does_not_cancel(
    commune: Commune, tdt: TdtServer, command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What S²LOW answers for an act on hold: it stays there, and nothing was transmitted."""

    def refuse(self: S2low, transaction: int) -> None:
        raise Refused("le TdT a répondu : Impossible d'annuler.", "ko")

    monkeypatch.setattr(S2low, "cancel_act", refuse)
    with working(commune):
        assert command("proof", "--production", "--delai", "40") == 0
    proof = json.loads(capsys.readouterr().out)["preuves"][-1]
    assert (proof["verdict"], proof["mesures"]["annule"]) == ("ok", False)
    assert "un administrateur peut l'y supprimer" in proof["detail"]
    (act,) = tdt.acts()
    assert act["statut"] == 17


def test_proof_says_when_the_service_does_not_work(
    commune: Commune, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    commune.introduce()
    assert command("proof", "--delai", "0.5") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["preuves"][-1]["verdict"] == "echec"
    assert "systemctl status tdt-connector" in document["preuves"][-1]["detail"]


def test_proof_says_when_the_tdt_is_down(
    commune: Commune, tdt: TdtServer, command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tdt.stop()
    assert command("proof") == 0
    document = json.loads(capsys.readouterr().out)
    assert [item["verdict"] for item in document["preuves"]] == ["echec", "echec"]
    assert not commune.folder("depot")


def test_bad_configuration_is_told_and_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yml").write_text("siren: 12\n")
    assert cli.main(["--config", str(tmp_path / "c.yml"), "run"]) == 1
    assert "champ « url » : champ obligatoire absent" in capsys.readouterr().err


def test_the_service_says_it_is_ready_works_and_stops_cleanly(
    commune: Commune, tdt: TdtServer, config_file: Path, tmp_path: Path
) -> None:
    commune.drop("2026_001")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)
        command = [sys.executable, "-m", "tdt_connector", "--config", str(config_file), "run"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            command,
            env=environment | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"WATCHDOG=1"
            second = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
            assert second.returncode == 1
            assert "Un autre connecteur travaille déjà" in second.stderr

            def acknowledged() -> bool:
                if commune.folder("acquittes"):
                    return True
                systemd.recv(100)  # nobody else reads it
                return False

            wait_for(acknowledged, "l'acte acquitté", every=0)
        finally:
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "<6>Connecteur de la collectivité 215902669 prêt" in log
    assert "acquitté par la préfecture : 059-215902669-20260115-2026_001-DE" in log
    assert "Arrêt demandé" in log
    assert commune.row().state is State.ACKNOWLEDGED


def test_stop_is_heard_between_two_acts(commune: Commune) -> None:
    commune.introduce()
    for rank in range(5):
        commune.drop(f"2026_00{rank}")
    stop = threading.Event()

    def hear(step: str) -> None:
        if step == "envoyé":
            stop.set()

    with Journal(commune.config.journal) as journal:
        agent = Agent(commune.config, journal, connect(commune.config), on_step=hear, stop=stop)
        while not stop.is_set():
            agent.cycle()
        counts = journal.counts()
        assert (counts[State.SENT], counts[State.INTENT], counts[State.ACKNOWLEDGED]) == (1, 0, 0)
    commune.run()
    assert len(commune.folder("acquittes")) == 5
