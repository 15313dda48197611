"""``sae-versement`` on the gateway itself."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sae import metrics
from sae.config import ConfigError
from sae.store import StoreError
from sae.versement import command
from sae.versement.engine import Engine
from sae.versement.spool import AnswerPendingError, SipBusyError, SipTooLargeError

from testbed.sae import ARACTE, FILES, GONDECOURT, LOOS, PDF, FakeClamd, Gateway, sip

Run = Callable[..., int]


@pytest.fixture
def run(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on this gateway."""
    monkeypatch.setattr(command.settings, "load", lambda _path: gateway.config)
    monkeypatch.setattr(Engine, "from_config", lambda _config: gateway.engine)
    return lambda *arguments: command.main([str(one) for one in arguments])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "sip.tar"
    path.write_bytes(sip())
    return path


def test_a_sip_is_deposited_listed_and_brought_back(
    gateway: Gateway, run: Run, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verser", package, "--compte", "gondecourt") == 0
    aip = capsys.readouterr().out.removeprefix("Accepté : archive ").strip()
    assert run("lister", "--compte", "gondecourt") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{aip}  20")
    assert "  jusqu'au " in line
    assert line.endswith("  Délibération n° 12 : école d’été")
    name = next(iter(FILES))
    target = tmp_path / "fichier"
    assert run("restituer", aip, "--compte", "gondecourt", "--fichier", name, "--vers", target) == 0
    assert target.read_bytes() == FILES[name]
    assert capsys.readouterr().out == f"{target} : écrit, empreinte SHA-512 vérifiée.\n"
    whole = tmp_path / "aip.tar"
    assert run("restituer", aip, "--compte", "gondecourt", "--vers", whole) == 0
    assert whole.stat().st_size > 1000
    assert [path.name for path in tmp_path.glob(".*.part")] == []
    capsys.readouterr()
    assert run("restituer", aip, "--compte", "gondecourt", "--fichier", "x", "--vers", tmp_path / "y") == 1
    assert capsys.readouterr().err.startswith("« x » n'y est pas. Fichiers : manifest.xml, content/acte.pdf, ")
    assert run("restituer", "autre", "--compte", "gondecourt", "--vers", tmp_path / "y") == 1
    assert capsys.readouterr().err == f"« autre » n'est pas une archive de {GONDECOURT.label}.\n"
    assert not (tmp_path / "y").exists()


def test_a_refused_sip_says_all_its_reasons(run: Run, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package.write_bytes(sip(rule="INCONNUE", agency="autre"))
    assert run("verser", package, "--compte", "gondecourt") == 1
    told = capsys.readouterr().err
    assert told.startswith("Refusé, rien n'est conservé :\n  - ")
    assert told.count("\n  - ") >= 1


@pytest.mark.parametrize("arguments", [("verser", "x"), ("lister",), ("restituer", "a", "--vers", "y")])
def test_an_account_that_is_none_is_misuse(
    run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--compte", "inconnu") == 2
    assert capsys.readouterr().err == "« inconnu » n'est pas un compte. Comptes : gondecourt, loos.\n"
    with pytest.raises(SystemExit):
        run(*arguments)


@pytest.mark.parametrize(
    ("error", "out", "err"),
    [
        (SipTooLargeError(), "", "Le SIP dépasse 40 Mo.\n"),
        (SipBusyError(), "En cours : la reprise finira.\n", ""),
        (AnswerPendingError("k", "m"), "En cours : le stockage ne répond pas, la reprise finira.\n", ""),
        (ConfigError("config"), "", "config\n"),
        (StoreError("coupé"), "", "Stockage : coupé\n"),
        (PermissionError(13, "x", "/etc/sae/x"), "", "Accès refusé : /etc/sae/x. Lancez la commande avec sudo.\n"),
        (sqlite3.Error("verrou"), "", "Fichier, disque ou registre inutilisable : verrou\n"),
    ],
)
def test_what_prevents_a_deposit_is_told(
    gateway: Gateway,
    run: Run,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    out: str,
    err: str,
) -> None:
    def fail(_account: object, _stream: io.BytesIO) -> None:
        raise error

    monkeypatch.setattr(gateway.engine, "deposit", fail)
    assert run("verser", package, "--compte", "gondecourt") == 1
    assert capsys.readouterr() == (out, err)


def test_the_last_ones_are_listed_first(run: Run, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        package.write_bytes(sip(message=f"M-{number}", title=f"Titre {number}"))
        run("verser", package, "--compte", "gondecourt")
    capsys.readouterr()
    run("lister", "--compte", "gondecourt", "--nombre", "2")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_state_of_the_gateway(
    gateway: Gateway, run: Run, package: Path, clamd: FakeClamd, capsys: pytest.CaptureFixture[str]
) -> None:
    run("verser", package, "--compte", "gondecourt")
    capsys.readouterr()
    (gateway.config.spool / "attend").mkdir()
    (gateway.config.spool / ".cache").mkdir()
    assert run("statut") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split()[:3] == ["gondecourt", "1", "archives"]
    assert told[1].split()[:3] == ["loos", "0", "archives"]
    assert told[2:] == ["Versements en attente : 1", "Antivirus : ClamAV 1.4.3/27000", "Signatures : aucune"]
    signature = gateway.config.signatures / "main.cvd"
    signature.touch()
    os.utime(signature, (1_700_000_000,) * 2)
    clamd.stop()
    assert run("statut") == 1
    told = capsys.readouterr().out.splitlines()
    assert told[3].startswith("Antivirus : ne répond pas (")
    assert told[4] == f"Signatures : du {time.strftime('%d/%m/%Y', time.localtime(1_700_000_000))}"


@pytest.mark.parametrize(
    ("outcomes", "status"), [([], 0), (["accepté"], 0), (["en erreur", "accepté"], 1), (["en erreur"] * 2, 1)]
)
def test_upkeep_takes_up_what_was_cut_and_publishes(
    gateway: Gateway,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: list[str],
    status: int,
) -> None:
    published: list[object] = []
    monkeypatch.setattr(gateway.engine, "resume", lambda: [(f"k{rank}", one) for rank, one in enumerate(outcomes)])
    monkeypatch.setattr(metrics, "publish", lambda config, registry: published.append((config, registry)))
    assert run("entretien") == status
    assert capsys.readouterr().out == "".join(
        f"versement k{rank} repris : {one}\n" for rank, one in enumerate(outcomes)
    )
    assert published == [(gateway.config, gateway.engine.registry)]


def test_formats_are_counted_by_account(
    gateway: Gateway, run: Run, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("formats", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    gateway.deposit(package.read_bytes())
    gateway.deposit(sip({"content/a.pdf": PDF, "content/b.pdf": PDF + b"b"}, message="ACTE-2"))
    gateway.deposit(sip({"content/c.pdf": PDF + b"c"}, message="ACTE-3", sender=LOOS.siren), LOOS)
    gateway.refused(sip({"content/x.pdf": b"\x00\x01rien de connu"}, message="ACTE-4"), "FORMAT")
    assert run("formats", "--json") == 0
    counted = {(one["compte"], one["format"]): one for one in json.loads(capsys.readouterr().out)}
    assert counted.keys() == {("gondecourt", "fmt/18"), ("gondecourt", "fmt/101"), ("loos", "fmt/18")}
    pdf = counted["gondecourt", "fmt/18"]
    assert (pdf["archives"], pdf["fichiers"], pdf["octets"]) == (2, 3, 3 * len(PDF) + 1)
    assert counted["gondecourt", "fmt/101"]["octets"] == len(ARACTE)  # the SIP's own manifest is no document
    assert run("formats") == 0
    assert "fmt/18             2 archives        3 fichiers" in capsys.readouterr().out


def test_formats_of_fifty_thousand_files_are_counted(gateway: Gateway) -> None:
    gateway.deposit(sip())
    with sqlite3.connect(gateway.config.registry) as db:
        db.execute("DROP TRIGGER entre")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)"
            " INSERT INTO archive SELECT 'a' || i, compte, 'i' || i, empreinte, versement, titre, genre, octets,"
            " sha512, conserve_jusqua, sort_final, fichiers, pris_le, range_le, reponse FROM archive, n"
        )
    begun = time.process_time()
    counted = {one["format"]: one["fichiers"] for one in gateway.registry.formats()}
    assert counted == {"fmt/18": 25_001, "fmt/101": 25_001}
    assert time.process_time() - begun < 5
