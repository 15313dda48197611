"""The commands of proof, on an archive in a folder: sae-journal, sae-export, sae-fixite, sae-elimination."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from sae import elimination, export, fixity, inventory, ocfl
from sae.config import ConfigError
from sae.journal import Journal, commands, timestamp
from sae.journal.seal import Sealer, SealError
from sae.journal.timestamp import TimestampError
from sae.store import FileStore, Store, StoreError, StoreUnavailableError
from sae.versement.aip import build
from sae.versement.container import Member
from sae.versement.formats import Format
from sae.versement.registry import Registry
from sae.versement.seda import Happened

from apps.sae.tests.proof.commune import MAIRE, SIREN, VISA, as_told, by_maire, listening
from apps.sae.tests.proof.test_elimination import ATTESTS, Room, subject
from testbed.authority import Authority

Run = Callable[..., int]


class Site:
    """A gateway's folder and its configuration."""

    def __init__(self, folder: Path, unit: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        (folder / "metriques").mkdir()
        self.config = folder / "config.json"
        self.given: dict[str, Any] = {
            "service": "SAE",
            "regles": {"ACTES-10": 10},
            "stockage": {"dossier": str(folder / "stockage")},
            "comptes": [{"nom": "gondecourt", "libelle": "Gondecourt", "siren": SIREN, "signataire": MAIRE}],
            "dossier": str(folder),
            "metriques": str(folder / "metriques"),
            "sceaux": {"unite": str(unit), "autorites": str(root)},
        }
        self.write()
        Registry(folder / "registre.sqlite")
        self.store = FileStore(folder / "stockage")

    def write(self, **changes: Any) -> None:
        self.config.write_text(json.dumps(self.given | changes))

    def add(self, count: int = 1) -> None:
        with Journal(self.folder / "journal.sqlite") as journal:
            for number in range(count):
                journal.append(
                    "essai", account="gondecourt", aip=f"aip-{number}", outcome="succes", detail={"n": f"é{number}"}
                )

    def keep(self, aip: str, content: bytes = b"contenu", until: int | None = None) -> None:
        """An archive at the storage, and in the journal."""
        sha512 = hashlib.sha512(content).hexdigest()
        self.store.put(
            "gondecourt", "aip", f"{aip}.tar", io.BytesIO(content),
            size=len(content), sha512=sha512, retain_until=until, metadata={"sort-final": "Destroy"},
        )  # fmt: skip # one call by its parts
        with Journal(self.folder / "journal.sqlite") as journal:
            journal.append(
                "versement.accepte",
                account="gondecourt",
                aip=aip,
                outcome="succes",
                detail={
                    "aip_sha512": sha512,
                    "octets": len(content),
                    "conserve_jusqua": until or 0,
                    "sort_final": "Destroy",
                    "titre": aip,
                },
            )

    def journal(self, *arguments: object) -> int:
        return commands.main(["--config", str(self.config), *map(str, arguments)])


@pytest.fixture
def site(tmp_path: Path, unit: Path, authority: Authority) -> Site:
    return Site(tmp_path, unit, authority.root)


# -- sae-journal ----------------------------------------------------------------------------------------------------


def test_a_journal_is_sealed_told_exported_and_verified(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.journal("etat") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == [
        "Aucun sceau : rien ne prouve encore ces événements.",
        "1 événements pas encore scellés, 0 sceaux à déposer au stockage.",
    ]
    site.add(2)
    assert site.journal("sceller") == 0
    assert capsys.readouterr().out == "1 sceaux faits, 1 déposés au stockage.\n"
    assert site.journal("sceller") == 0
    assert capsys.readouterr().out == "Rien de nouveau à sceller.\n"
    site.add()
    assert site.journal("etat", "--json") == 0
    told_json = json.loads(capsys.readouterr().out)
    assert (told_json["evenements"], told_json["sceaux"], told_json["non_scelles"]) == (4, 1, 1)
    assert (told_json["sceaux_en_attente"], bool(told_json["dernier_sceau"])) == (0, True)
    site.journal("etat")
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(" : 4 événements, le dernier le " + told[0].rpartition("le dernier le ")[2])
    assert told[1].startswith("1 sceaux, le dernier le ")
    export_folder = site.folder / "export"
    assert site.journal("exporter", export_folder) == 0
    assert capsys.readouterr().out == f"{export_folder} : le journal et ses sceaux, jusqu'au sceau 1.\n"
    assert site.journal("verify", export_folder, "--racine", site.root) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("✓ 4 événements, 1 sceaux, du ")
    assert site.journal("verify", export_folder, "--racine", site.root, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["intact"], report["defauts"], report["evenements"], report["non_scelles"]) == (True, [], 4, 1)
    assert datetime.fromisoformat(report["premier"]) <= datetime.fromisoformat(report["dernier"])


def test_a_journal_that_was_changed_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add(2)
    site.journal("sceller")
    folder = site.folder / "export"
    site.journal("exporter", folder)
    [events] = [path for path in folder.rglob("*") if b'"aip-1"' in (path.read_bytes() if path.is_file() else b"")][:1]
    events.write_bytes(events.read_bytes().replace(b'"aip-1"', b'"aip-2"'))
    capsys.readouterr()
    assert site.journal("verify", folder, "--racine", site.root) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("✗ ")
    assert "le journal n'est PAS intact (" in told[-1]
    assert site.journal("verify", folder, "--racine", site.root, "--json") == 1
    assert not json.loads(capsys.readouterr().out)["intact"]


def test_events_are_shown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add(3)
    site.journal("montrer", "--nombre", 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["3", "4"]
    assert lines[1].endswith('aip-2                                 {"n": "é2"}')
    site.journal("montrer", "--archive", "aip-0")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2"]
    site.journal("montrer")
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_nodes_are_told_what_they_must_have(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what was refused nor what is leaving; what was deposited again after its elimination is back."""

    def expected() -> list[str]:
        capsys.readouterr()
        assert site.journal("attendues") == 0
        (line,) = capsys.readouterr().out.splitlines()
        return zlib.decompress(base64.b64decode(line)).decode().splitlines()

    assert expected() == []
    site.add(1)
    for aip in ("b", "a", "c", "d"):
        site.keep(aip)
    with Journal(site.folder / "journal.sqlite") as journal:
        for aip, event in (("c", "elimination.debut"), ("d", "elimination.debut"), ("d", "elimination.faite")):
            journal.append(event, account="gondecourt", aip=aip, outcome="succes", detail={})
        journal.append("versement.accepte", account="gondecourt", aip="e", outcome="echec", detail={})
    assert expected() == ["gondecourt/aip/a.tar", "gondecourt/aip/b.tar"]
    with Journal(site.folder / "journal.sqlite") as journal:
        accepted = next(event for event in journal.events(aip="a") if event.event == "versement.accepte")
        journal.append(accepted.event, account="gondecourt", aip="d", outcome="succes", detail=accepted.detail)
    assert expected() == [f"gondecourt/aip/{aip}.tar" for aip in "abd"]


def test_one_event_is_proved_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add(3)
    assert site.journal("preuve", 2) == 1
    assert "l'événement 2 n'est pas encore scellé : « sae-journal sceller »" in capsys.readouterr().err
    assert site.journal("preuve", 99) == 1
    assert "le journal n'a pas d'événement 99" in capsys.readouterr().err
    site.journal("sceller")
    capsys.readouterr()
    proof = site.folder / "preuve"
    assert site.journal("preuve", 2, "--sortie", proof) == 0
    assert capsys.readouterr().out == ""
    assert site.journal("preuve", 2) == 0
    assert capsys.readouterr().out == proof.read_text()
    assert site.journal("verify", "--racine", site.root, "--preuve", proof) == 0
    told = capsys.readouterr().out
    assert told.startswith("✓ événement 2 (essai, gondecourt) : prouvé, certifié existant le ")
    assert json.loads(told.partition("\n")[2])["aip"] == "aip-0"
    assert site.journal("verify", "--racine", site.root) == 2
    assert "donnez le dossier de « sae-journal exporter »" in capsys.readouterr().err
    for root, given in ((site.folder / "absente.pem", proof), (site.root, site.folder)):
        assert site.journal("verify", "--racine", root, "--preuve", given) == 2
        wrong = given if root == site.root else root
        said = f"sae-journal : {wrong} : ce n'est pas un fichier, ou vous ne pouvez pas le lire\n"
        assert capsys.readouterr().err == said


def test_a_disk_that_fails_an_auditor_is_no_word_of_the_system_s(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_given: object) -> None:
        raise OSError(5, "Input/output error", "/media/copie/sceau")

    monkeypatch.setattr("sae.journal.verify.verify_folder", fail)
    assert site.journal("verify", site.folder, "--racine", site.root) == 2
    assert capsys.readouterr().err == "sae-journal : /media/copie/sceau : lecture impossible (erreur 5)\n"


def test_a_copy_out_of_the_room_grows(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add(2)
    site.journal("sceller")
    copy, tar = site.folder / "copie", site.folder / "export.tar"
    assert site.journal("recevoir", "--copie", copy) == 0
    site.journal("exporter", tar)
    capsys.readouterr()
    assert site.journal("recevoir", tar, "--copie", copy) == 2
    assert "--racine PEM" in capsys.readouterr().err
    assert site.journal("recevoir", tar, "--copie", copy, "--racine", site.root) == 0
    assert capsys.readouterr().out == f"✓ {copy} : 1 sceaux vérifiés, 1 de plus.\n"
    assert site.journal("recevoir", "--copie", copy) == 0
    assert capsys.readouterr().out == "1\n"
    site.add()
    site.journal("sceller")
    site.journal("exporter", tar)
    folder = site.folder / "export"
    site.journal("exporter", folder)
    capsys.readouterr()
    site.journal("recevoir", tar, "--copie", copy, "--racine", site.root)
    assert capsys.readouterr().out == f"✓ {copy} : 2 sceaux vérifiés, 1 de plus.\n"
    assert site.journal("verify", folder, "--racine", site.root, "--ancre", copy) == 0
    assert ", copie extérieure jusqu'au sceau 2 : rien n'a été retiré" in capsys.readouterr().out
    # Another journal, of a gateway that forgot its past.
    (site.folder / "journal.sqlite").unlink()
    site.store = FileStore(site.folder / "stockage")
    site.write(stockage={"dossier": str(site.folder / "autre")})
    site.add()
    site.journal("sceller")
    site.journal("exporter", tar)
    capsys.readouterr()
    assert site.journal("recevoir", tar, "--copie", copy, "--racine", site.root) == 1
    assert capsys.readouterr().out.endswith(
        f"✗ {copy} : rien n'est ajouté, le journal reçu ne continue pas cette copie.\n"
    )


def test_a_new_gateway_takes_its_journal_back(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add(2)
    site.journal("sceller")
    (site.folder / "journal.sqlite").unlink()
    capsys.readouterr()
    assert site.journal("restaurer") == 0
    path = site.folder / "journal.sqlite"
    assert capsys.readouterr().out == f"{path} : 3 événements restaurés d'après 1 sceaux.\n"
    assert path.stat().st_uid == site.folder.stat().st_uid


@pytest.mark.parametrize(
    ("error", "said", "failed"),
    [
        (SealError("scellement"), "scellement", 1),
        (TimestampError("muette"), "muette", 1),
        (StoreError("coupé"), "coupé", 1),
    ],
)
def test_a_seal_that_fails_is_told_and_counted(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
    failed: int,
) -> None:
    site.add()
    site.journal("sceller")
    figures = site.folder / "metriques" / "sae_journal.prom"
    before = dict(line.split() for line in figures.read_text().splitlines() if not line.startswith("#"))
    assert (before["sae_journal_evenements"], before["sae_journal_sceaux"]) == ("2", "1")
    assert (before["sae_journal_scellement_echec"], before["sae_journal_plus_ancien_non_scelle_seconds"]) == ("0", "0")
    assert before["sae_journal_sceaux_en_attente"] == "0"
    assert figures.stat().st_mode & 0o777 == 0o644
    site.add()

    def fail(_self: Sealer) -> None:
        raise error

    monkeypatch.setattr(Sealer, "run", fail)
    capsys.readouterr()
    assert site.journal("sceller") == 1
    assert capsys.readouterr().err == f"sae-journal : {said}\n"
    after = dict(line.split() for line in figures.read_text().splitlines() if not line.startswith("#"))
    assert after["sae_journal_scellement_echec"] == str(failed)
    assert abs(int(after["sae_journal_plus_ancien_non_scelle_seconds"]) - time.time()) < 60
    assert abs(int(after["sae_journal_scellement_seconds"]) - time.time()) < 60


def test_figures_of_an_empty_folder_are_nobody_s(site: Site, tmp_path: Path) -> None:
    from sae.journal import metrics

    with Journal(site.folder / "journal.sqlite") as journal:
        metrics.write(tmp_path / "absent", journal, failed=False)
        metrics.write(site.folder / "metriques", journal, failed=False)
    text = (site.folder / "metriques" / "sae_journal.prom").read_text()
    assert "\nsae_journal_sceaux 0\n" in text
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(13, "x", "/etc/sae/config.json"),
            "accès refusé à /etc/sae/config.json : lancez la commande avec sudo",
        ),
        (OSError(28, "No space left on device", "/var/lib/sae/x"), "/var/lib/sae/x : le disque est plein"),
        (ConfigError("configuration"), "configuration"),
        (StoreError("coupé"), "coupé"),
    ],
)
def test_what_prevents_a_command_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def fail(_path: Path) -> None:
        raise error

    monkeypatch.setattr("sae.config.load", fail)
    assert site.journal("etat") == 1
    assert capsys.readouterr().err == f"sae-journal : {said}\n"


def test_a_fault_of_the_program_shows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sae.config.load", fail)
    with pytest.raises(ZeroDivisionError):
        site.journal("etat")
    for wrong in ([], ["verify", "x"], ["recevoir", "x"], ["preuve"]):
        with pytest.raises(SystemExit):
            commands.main(wrong)


# -- timestamps -----------------------------------------------------------------------------------------------------


@pytest.fixture
def remote(unit: Path) -> Iterator[tuple[str, list[Any]]]:
    """A timestamping authority over HTTP; the path says how it answers."""
    asked: list[Any] = []
    stamp = timestamp.local_unit(unit)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            body = stamp(b"donnees")
            self.send_response(200 if self.path == "/bon" else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_an_authority_elsewhere_is_asked_over_http(
    remote: tuple[str, list[Any]], authority: Authority, tmp_path: Path
) -> None:
    url, asked = remote
    token = timestamp.remote_unit(f"{url}/bon", "moi", "secret", tmp_path / "ca.pem")(b"donnees")
    at = timestamp.verify(token, b"donnees", authority.root)
    assert abs((at - datetime.now(UTC)).total_seconds()) < 60
    headers, query = asked[0]
    assert headers["Authorization"] == "Basic bW9pOnNlY3JldA=="
    assert headers["Content-Type"] == "application/timestamp-query"
    assert hashlib.sha512(b"donnees").digest() in query
    timestamp.remote_unit(f"{url}/bon")(b"donnees")
    assert "Authorization" not in asked[1][0]
    with pytest.raises(TimestampError, match=r"/mal a répondu HTTP 503$"):
        timestamp.remote_unit(f"{url}/mal")(b"donnees")
    with pytest.raises(
        TimestampError, match=r"^l'autorité d'horodatage http://127.0.0.1:1/ ne répond pas : Connection"
    ):
        timestamp.remote_unit("http://127.0.0.1:1/")(b"donnees")


def test_a_unit_without_its_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(TimestampError, match=r"cert.pem est introuvable ou illisible pour ce compte$"):
        timestamp.local_unit(tmp_path)(b"x")
    for name in ("cert.pem", "key.pem", "chain.pem"):
        (tmp_path / name).write_text("rien")
    with pytest.raises(TimestampError):
        timestamp.local_unit(tmp_path)(b"x")


def test_what_is_no_timestamp_is_told(unit: Path, authority: Authority) -> None:
    token = timestamp.local_unit(unit)(b"x")
    for wrong in (b"", b"oups", token[:50], b"\x30\x03\x02\x01\x00", b"\x04" + token[1:]):
        with pytest.raises(TimestampError, match=r"^ce n'est pas une réponse d'horodatage RFC 3161$"):
            timestamp.read(wrong)
    refused = bytes.fromhex("300d300b3003020102300480027800")
    with pytest.raises(TimestampError):
        timestamp.read(refused)
    with pytest.raises(TimestampError, match="a été modifié"):
        timestamp.verify(token, b"y", authority.root)


# -- sae-export, sae-fixite -----------------------------------------------------------------------------------------


def test_an_export_says_what_was_made(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    target = site.folder / "export"
    arguments = ["--config", str(site.config), "--compte", "gondecourt", "--vers", str(target)]
    assert export.main(arguments) == 0
    assert capsys.readouterr().out == f"✓ 0 archives dans {target}, 0 manquantes.\n"
    site.keep("aip-1")  # not a real archive: it cannot be unpacked
    assert export.main(arguments) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("✗ aip-1 : ")
    assert told[-1] == f"✗ 0 archives dans {target}, 1 manquantes."
    content = b"x"
    site.store.put(
        "gondecourt", "aip", "aip-2.tar", io.BytesIO(content), size=1, sha512=hashlib.sha512(b"x").hexdigest()
    )
    export.main(arguments)
    assert "! aip-2 : au stockage, mais inconnue du journal" in capsys.readouterr().out
    assert export.main([*arguments[:2], "--compte", "loos", "--vers", str(target)]) == 2
    assert capsys.readouterr().err == "sae-export : compte « loos » inconnu ; connus : gondecourt\n"
    for missing in (arguments[:4], [*arguments[:2], *arguments[4:]]):
        with pytest.raises(SystemExit):
            export.main(missing)


def test_an_account_that_the_inventory_lost_is_not_one_without_archives(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hand-over takes an unknown account for one that has none (playbooks/journeys/hand_over.yml)."""
    site.keep("aip-1")
    site.write(comptes=[{"nom": "loos", "libelle": "Loos", "siren": "215903600"}])
    assert export.main(["--config", str(site.config), "--compte", "gondecourt", "--vers", str(site.folder / "e")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("sae-export : compte « gondecourt » : 1 archives, et l'inventaire ne l'a plus. À faire : ")
    assert "inconnu ; connus" not in told


def test_an_export_that_was_cut_may_be_run_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> None:
        raise StoreError("coupé")

    monkeypatch.setattr(export, "export", fail)
    assert export.main(["--config", str(site.config), "--compte", "gondecourt", "--vers", str(site.folder / "x")]) == 1
    assert capsys.readouterr().err == "sae-export : interrompu, relancez pour reprendre : coupé\n"


def packed(name: str, drop: str = "", **more: bytes) -> bytes:
    """The tar of an archive, as the versement makes it; without a file, or with others."""
    with tempfile.TemporaryDirectory() as folder:
        act, tar = Path(folder) / "acte.pdf", Path(folder) / "aip.tar"
        act.write_bytes(b"%PDF-1.7")
        build(
            tar,
            aip=name,
            account="gondecourt",
            title="Acte",
            when=datetime(2026, 11, 26, tzinfo=UTC),
            members={"acte.pdf": Member("acte.pdf", act, 8, hashlib.sha512(b"%PDF-1.7").hexdigest())},
            formats={"acte.pdf": Format("fmt/95", "PDF/A", "1a", "", "")},
            events=[Happened("contrôle", "2026-11-26T01:00:00+00:00", "OK", "bon")],
        )
        return again(tar.read_bytes(), name, drop, more)


def again(content: bytes, name: str, drop: str, more: dict[str, bytes]) -> bytes:
    """The tar, as another program than ours would write it again."""
    written = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=written, mode="w") as new:
        for member in old:
            if not drop or not member.name.endswith(drop):
                new.addfile(member, old.extractfile(member))
        for path, data in more.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return written.getvalue()


def test_a_content_that_is_whole_and_no_good_object_is_told_once(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever put it there: its digest is the journal's, and nobody could read it with OCFL's own tools."""
    bad = {
        "aip-declaration": packed("aip-declaration", drop="0=ocfl_object_1.1"),
        "aip-en-trop": packed("aip-en-trop", intrus=b"x"),
        "aip-texte": b"contenu",
        "aip-autre": packed("aip-nom"),
    }
    for name, content in {**bad, "aip-bon": packed("aip-bon"), "aip-casse": packed("aip-casse", drop="jamais")}.items():
        site.keep(name, content)
    arguments = ["--config", str(site.config)]
    assert fixity.main(arguments) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ gondecourt")]
    assert sorted(line.split(" : ")[0] for line in told) == sorted(f"✗ gondecourt/{name}.tar" for name in bad)
    assert all(" : structure OCFL : " in line for line in told) and any("E003" in line for line in told)
    text = (site.folder / "metriques" / "sae_fixite.prom").read_text()
    assert "sae_fixite_structures 4\n" in text and "sae_fixite_anomalies 0\n" in text
    assert not [*site.folder.rglob("structure-*")]
    unpacked = list[str]()
    whole = export.structure_faults

    def seen(store: Store, known: inventory.AcceptedArchive, folder: Path) -> str:
        unpacked.append(known.aip)
        return whole(store, known, folder)

    monkeypatch.setattr(export, "structure_faults", seen)
    assert fixity.main(arguments) == 1  # what is bad stays so
    assert unpacked == []  # a content that is whole does not change
    monkeypatch.setattr(ocfl, "RULES_VERSION", ocfl.RULES_VERSION + 1)
    monkeypatch.setattr(fixity, "_MAX_STRUCTURE_CHECK_SECONDS", -1)  # each run has its turn, the others follow
    fixity.main(arguments)
    assert unpacked == []
    assert "6 archives dont la structure sera jugée" in capsys.readouterr().out
    monkeypatch.setattr(fixity, "_MAX_STRUCTURE_CHECK_SECONDS", 300)
    assert fixity.main(arguments) == 1
    assert sorted(unpacked) == sorted([*bad, "aip-bon", "aip-casse"])
    with Journal(site.folder / "journal.sqlite") as journal:
        events = [one.aip for one in journal.events() if one.event == "fixite.structure"]
    assert sorted(set(map(str, events))) == sorted(bad)


def test_fixity_says_what_was_read_again(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(fixite={"attente": 0})  # this storage repairs nothing
    for number in range(3):
        site.keep(f"aip-{number}", packed(f"aip-{number}"))
    arguments = ["--config", str(site.config)]
    assert fixity.main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["relues"], told["connues"], told["anomalies"]) == (0, 3, 3, [])
    figures = site.folder / "metriques" / "sae_fixite.prom"
    assert figures.stat().st_mode & 0o777 == 0o644
    figures.unlink()
    assert fixity.main([*arguments, "--echantillon", "2"]) == 0
    assert capsys.readouterr().out == "✓ 2 archives relues sur 2 connues, 0 redevenues bonnes, 0 anomalies.\n"
    assert not figures.exists()
    path = site.store._object_path("gondecourt", "aip", "aip-1.tar")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (site.folder / "metriques").rmdir()
    site.write(fixite={"attente": 1})  # seconds that a repair is waited for
    assert fixity.main([*arguments, "--tout"]) == 1
    told_lines = capsys.readouterr().out.splitlines()
    assert told_lines[0].startswith("✗ gondecourt/aip-1.tar : ")
    assert told_lines[-1] == "✗ 3 archives relues sur 3 connues, 0 redevenues bonnes, 1 anomalies."
    site.write(fixite=[])
    assert fixity.main(arguments) == 3
    assert capsys.readouterr().err.startswith("sae-fixite : ")


def test_what_fixity_could_not_do_is_told() -> None:
    result = fixity.Result(checked=1, repaired=2, late=3, total=4, trouble=["muet"])
    assert result.status == 2
    assert fixity._french_summary(result).splitlines() == [
        "! muet",
        "! 3 archives n'ont pas été relues dans leur délai",
        "! 1 archives relues sur 4 connues, 2 redevenues bonnes, 0 anomalies.",
    ]


# -- sae-elimination ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "du groupement")
    for name in ("Alice Martin", "Bruno Petit"):
        made.issue(name, ExtendedKeyUsageOID.CLIENT_AUTH)
    made.issue(elimination.ATTESTS, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    made.issue(timestamp.OWN)
    return made


@pytest.fixture
def office(site: Site, agents: Authority) -> Iterator[tuple[Site, Room, Run]]:
    """A gateway whose agents may eliminate, and their command."""
    site.write(
        sceaux={"unite": str(agents.folder / "Horodatage_des_archives"), "autorites": str(agents.root)},
        elimination={
            "autorites": str(agents.root),
            "certificat": str(agents.folder / ATTESTS),
            "verificateur": str(site.folder / "juge.sock"),
            "agents": [
                {"nom": name, "sujet": subject(name), "comptes": ["gondecourt"]}
                for name in ("Alice Martin", "Bruno Petit")
            ],
        },
    )
    desk = site.folder / "bureau"
    desk.mkdir()
    room = Room(desk, agents)
    with listening(site.folder / "juge.sock", as_told):
        yield site, room, lambda *arguments: elimination.main(["--config", str(site.config), *map(str, arguments)])


def listed(site: Site, run: Run, capsys: pytest.CaptureFixture[str], *which: str) -> tuple[str, list[str]]:
    """A list, signed by the maire: its identifier, and the words that make the request of it."""
    made, signed, visa = (site.folder / name for name in ("bordereau.pdf", "signe.pdf", "visa.pdf"))
    assert run("demander", "--compte", "gondecourt", "--vers", made, *which) == 0
    told = capsys.readouterr().out
    assert (
        told.splitlines()[1]
        == f"{made} : à signer par Claire Dubois, à faire viser, puis « sae-elimination constituer »."
    )
    identifier, mark = told.split()[1].rstrip(","), told.split()[3]
    signed.write_bytes(by_maire(made.read_bytes()))
    visa.write_bytes(VISA)
    pieces = ["--bordereau", str(signed), "--visa", str(visa), "--reference", "AD59", "--liste", mark]
    return identifier, ["constituer", identifier, *pieces]


def test_no_date_is_past_before_most_of_the_storage_tells_the_time(
    office: tuple[Site, Room, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _, run = office
    site.keep("aip-1", until=int(time.time()) - 100)

    def alone() -> dict[str, datetime]:
        raise StoreUnavailableError(
            "l'heure n'est pas confirmée : 1 sur 3 nœuds du stockage la donnent. Rien n'est scellé"
        )

    monkeypatch.setattr("sae.store.reference", lambda _store: alone)
    for asked in (["echues"], ["demander", "--echues", "--vers", site.folder / "b.pdf"]):
        assert run(asked[0], "--compte", "gondecourt", *asked[1:]) == 2
        assert capsys.readouterr().err == (
            "sae-elimination : interrompu : l'heure n'est pas confirmée : 1 sur 3 nœuds du stockage la donnent. Aucune "
            "date de conservation n'est jugée passée ; relancez\n"
        )


def test_an_elimination_from_end_to_end(
    office: tuple[Site, Room, Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, room, run = office
    monkeypatch.setattr("sae.store.reference", lambda _store: lambda: {"sae1": datetime.now(UTC)})
    for name, until in (("aip-1", int(time.time()) - 100), ("aip-2", int(time.time()) + 10**6)):
        site.keep(name, until=until)
    assert run("echues", "--compte", "gondecourt") == 0
    told = capsys.readouterr().out.splitlines()
    assert (told[0][:5], told[1]) == ("aip-1", "1 archives du compte « gondecourt » peuvent être éliminées.")
    first, second = site.folder / "demande.json", site.folder / "approbation.json"
    identifier, gather = listed(site, run, capsys, "--echues")
    assert run(*gather, "--vers", first) == 0
    assert capsys.readouterr().out.startswith(f"{first} : à signer par un premier agent, puis ")
    assert [one["aip"] for one in json.loads(first.read_bytes())["archives"]] == ["aip-1"]
    run(*gather)
    assert json.loads(capsys.readouterr().out)["archives"]
    assert run(*gather[:-1], "BE-0000-0000-0000-0000") == 1
    assert "le visa d'une autre liste ne permet rien" in capsys.readouterr().err
    assert run("attestation", identifier, "--vers", site.folder) == 1
    assert "aucune demande" in capsys.readouterr().err
    (site.folder / "s1").write_bytes(room.sign(first.read_bytes(), "Alice Martin"))
    assert run("deposer", first, site.folder / "s1", "--vers", second) == 0
    assert capsys.readouterr().out.startswith(f"{second} : à signer par un autre agent, puis ")
    # The second one reads what is to be approved.
    assert run("pieces", "autre", "--vers", site.folder / "relues") == 1
    capsys.readouterr()
    assert run("pieces", identifier, "--vers", site.folder / "relues") == 0
    assert "visa.pdf" in capsys.readouterr().out
    approved = json.loads(second.read_bytes())
    for field, name in (("visa_sha512", "visa.pdf"), ("bordereau_signe_sha512", "bordereau-signe.pdf")):
        assert hashlib.sha512((site.folder / "relues" / name).read_bytes()).hexdigest() == approved[field]
    assert run("liste") == 0
    assert "archives  Alice Martin → ?" in capsys.readouterr().out
    (site.folder / "s2").write_bytes(room.sign(second.read_bytes(), "Alice Martin"))
    assert run("approuver", second, site.folder / "s2") == 1
    assert capsys.readouterr().err.startswith("sae-elimination : ")
    (site.folder / "s2").write_bytes(room.sign(second.read_bytes(), "Bruno Petit"))
    assert run("approuver", second, site.folder / "s2") == 0
    told_one = capsys.readouterr().out
    identifier = told_one.partition("(demande ")[2].partition(")")[0]
    assert told_one == (
        f"1 archives éliminées (demande {identifier}). Attestation : attestation-{identifier}.json, au stockage.\n"
    )
    assert list(site.store.names("gondecourt", "aip")) == ["aip-2.tar"]
    assert run("reprendre") == 0
    run("liste")
    assert "archives  Alice Martin → Bruno Petit" in capsys.readouterr().out
    # The certificate, on a desk without the gateway.
    desk = site.folder / "remise"
    assert run("attestation", identifier, "--vers", desk) == 0
    given = [f"attestation-{identifier}.json{end}" for end in ("", ".p7s", ".tsr")]
    given += [f"bordereau-signe-{identifier}.pdf", f"visa-{identifier}.pdf"]
    assert capsys.readouterr().out.splitlines() == [str(desk / name) for name in given]
    verify = ["verifier", str(desk / given[0]), "--racine", str(room.authority.root)]
    assert elimination.main(verify) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "✓ 1 archives du compte « gondecourt » éliminées, visa AD59."
    assert told[1].startswith("  liste BE-") and told[1].endswith(", bordereau signé par Claire Dubois")
    for line, who in ((told[2], "demandé par Alice Martin ("), (told[3], "approuvé par Bruno Petit (")):
        assert line.startswith(f"  {who}") and line.count(who.split()[-2]) == 2
    (desk / given[-1]).write_bytes(VISA + b"x")
    assert elimination.main(verify) == 1
    assert "ce n'est pas le document dont l'attestation a l'empreinte" in capsys.readouterr().err


def test_a_request_may_be_dropped(office: tuple[Site, Room, Run], capsys: pytest.CaptureFixture[str]) -> None:
    site, room, run = office
    site.keep("aip-1", until=int(time.time()) - 100)
    first = site.folder / "demande.json"
    _, gather = listed(site, run, capsys, "aip-1")
    run(*gather, "--vers", first)
    (site.folder / "s1").write_bytes(room.sign(first.read_bytes(), "Alice Martin"))
    run("deposer", first, site.folder / "s1", "--vers", site.folder / "a.json")
    run("liste")
    identifier = capsys.readouterr().out.splitlines()[-1].split()[0]
    assert run("abandonner", identifier, "--motif", "erreur") == 0
    assert capsys.readouterr().out == f"La demande {identifier} est abandonnée.\n"
    assert run("abandonner", identifier) == 1
    assert capsys.readouterr().err.startswith(f"sae-elimination : la demande {identifier} est ")


def test_what_prevents_an_elimination_is_told(
    office: tuple[Site, Room, Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site, _room, run = office
    assert elimination.main(["verifier", str(site.folder / "x.json"), "--racine", str(site.root)]) == 1
    assert f"introuvable : {site.folder}/x.json, " in capsys.readouterr().err
    for error, status, said in (
        (StoreError("coupé"), 2, "interrompu : coupé"),
        (ConfigError("configuration"), 2, "configuration"),
        (elimination.OperationRefusedError("non"), 1, "non"),
    ):
        monkeypatch.setattr("sae.config.load", _raiser(error))
        assert run("liste") == status
        assert capsys.readouterr().err == f"sae-elimination : {said}\n"
    monkeypatch.setattr("sae.config.load", _raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("liste")
    monkeypatch.undo()
    absent = site.folder / "absent.json"
    assert run("deposer", absent, absent) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"sae-elimination : interrompu : {absent} : introuvable. À faire : ") and "Errno" not in told
    for wrong in ([], ["echues"], ["demander", "--compte", "x"], ["constituer", "x"], ["verifier", "x"]):
        with pytest.raises(SystemExit):
            elimination.main(wrong)


def _raiser(error: Exception) -> Callable[[Path], None]:
    def fail(_path: Path) -> None:
        raise error

    return fail


def test_what_is_resumed_and_refused_is_told(
    office: tuple[Site, Room, Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _site, _room, run = office
    monkeypatch.setattr(elimination.Eliminator, "resume", lambda _self: ["a", "b"])

    def execute(_self: elimination.Eliminator, identifier: str) -> int:
        if identifier == "a":
            raise elimination.OperationRefusedError("trop tôt")
        return 3

    monkeypatch.setattr(elimination.Eliminator, "execute", execute)
    assert run("reprendre") == 1
    told = capsys.readouterr()
    assert told.err == "sae-elimination : trop tôt\n"
    assert told.out.startswith("3 archives éliminées (demande b).")
