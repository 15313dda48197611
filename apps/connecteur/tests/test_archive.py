"""An acquitted act goes to the archive: its SIP is taken by the archive's own engine, its refusal is not repeated."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from tdt_connector import archive, cli, proof, sip
from tdt_connector.config import Config, Line

from testbed.sae import AGENCY, ARACTE, GONDECOURT, PDF, SIREN, FakeClamd, Gateway

ACT = {
    "numero": "2026_014",
    "date": "2026-11-02",
    "aracte_le": "2026-11-03",
    "nature": "DE",
    "classification": "7.1",
    "objet_transmis": "Décision modificative n° 2",
}
TERMS = sip.Terms(AGENCY, "ACTES-10", "Keep")


@pytest.fixture
def act(tmp_path: Path) -> Path:
    """An acquitted act of Gondecourt's connector."""
    return acquitted(tmp_path)


def acquitted(tmp_path: Path) -> Path:
    """The folder of an acquitted act."""
    folder = tmp_path / "commune" / "acquittes" / "059-215902669-20261102-2026_014-DE"
    folder.mkdir(parents=True)
    for name, content in {"2026_014.pdf": PDF, "ARActe.xml": ARACTE, "resume.json": json.dumps(ACT).encode()}.items():
        (folder / name).write_bytes(content)
    return folder


def config(act: Path) -> Config:
    """A connector's configuration, on this folder."""
    return Config(
        tdt="s2low",
        url="https://tdt.test",
        siren=SIREN,
        departement="059",
        dossier=act.parents[1],
        archive_url="https://sae.test",
        archive_agency=AGENCY,
        archive_rule="ACTES-10",
    )


def test_the_archive_takes_its_sip(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    package = io.BytesIO()
    sip.build(act, SIREN, TERMS, package)
    again = io.BytesIO()
    sip.build(act, SIREN, TERMS, again)
    assert again.getvalue() == package.getvalue()  # the same act, the same bytes: never two archives
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    kept = gateway.registry.archive("gondecourt", str(answer.aip))
    assert kept is not None
    assert {one["nom"] for one in kept.files} == {"manifest.xml", "content/2026_014.pdf", "content/ARActe.xml"}


def test_an_empty_file_from_outside_keeps_no_act_from_the_archive(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    """The archive takes none; what a clerk deposits was refused at the door, and what the préfecture sent cannot be."""
    for name in ("courrier-1-annexe.pdf", "vide"):
        (act / name).touch()
    package = io.BytesIO()
    sip.build(act, SIREN, TERMS, package)
    answer = Gateway(tmp_path).deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    assert (act / "vide").is_file()  # nothing is lost


def test_names_that_the_door_does_not_take_keep_no_act_from_the_archive(
    tmp_path: Path, clamd: FakeClamd, act: Path
) -> None:
    """Of a disk that had another encoding, or of who writes anything."""
    for name in (b"pi\xe8ce n\xb0 2.pdf", b"pi\xe9ce n\xb0 2.pdf", b"a\nb.pdf", b"a\\b.pdf", b"\xff" * 200 + b".pdf"):
        (act / os.fsdecode(name)).write_bytes(PDF + name)
    package = io.BytesIO()
    sip.build(act, SIREN, TERMS, package)
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    assert len(gateway.registry.archives("gondecourt")[0].files) == 8  # with the act, its ARActe and the manifest


def test_the_sip_names_the_commune_s_agreement(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    package = io.BytesIO()
    sip.build(act, SIREN, replace(TERMS, agreement="AD59-2026-017"), package)
    gateway = Gateway(tmp_path, accounts={"gondecourt": replace(GONDECOURT, agreement="AD59-2026-017")})
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons


SCHEDULE = (
    Line("ACTES-10", "Keep", "AR038", natures=frozenset({1, 2, 3})),
    Line("COURTE-1", "Destroy", "AR048", natures=frozenset({3, 4}), matters=("4",)),
    Line("LONGUE-99", "Keep", "AR039", matters=("4.1",)),
    Line("PES-10", "Destroy", "AR038", flows=True),
)


@pytest.mark.parametrize(
    ("nature", "matter", "rule", "access"),
    [
        ("DE", "7.1", "ACTES-10", "AR038"),
        ("AI", "4.2", "COURTE-1", "AR048"),
        ("3", "4.2.1", "COURTE-1", "AR048"),  # as the passerelle says the nature of an act that stays
        ("AI", "4.1", "LONGUE-99", "AR039"),
        ("AI", "4.10", "COURTE-1", "AR048"),
        ("DE", "4.2", "ACTES-10", "AR038"),
        ("AU", "7.1", "DEFAUT", ""),
        (None, None, "DEFAUT", ""),
    ],
)
def test_an_act_has_the_line_of_its_matter_then_of_its_nature(
    nature: str | None, matter: str | None, rule: str, access: str
) -> None:
    terms = sip.Terms(AGENCY, "DEFAUT", "Keep", schedule=SCHEDULE)
    found = terms.of({"nature": nature, "classification": matter}, flow=False)
    assert (found.rule, found.access) == (rule, access)
    assert terms.of({}, flow=True).rule == "PES-10"


def test_the_sip_has_the_rule_and_the_access_of_its_line(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    (act / "resume.json").write_text(json.dumps(ACT | {"nature": "AI", "classification": "4.2"}))
    package = io.BytesIO()
    sip.build(act, SIREN, replace(TERMS, schedule=SCHEDULE), package)
    manifest = package.getvalue()
    assert b"<Rule>COURTE-1</Rule>" in manifest and b"<Rule>AR048</Rule>" in manifest
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(manifest)
    assert answer.accepted, answer.reasons
    kept = gateway.registry.archive("gondecourt", str(answer.aip))
    assert kept is not None and kept.action == "Destroy"


def test_a_dossier_de_preuve_is_an_archive_that_names_its_act_s(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    gateway = Gateway(tmp_path)
    first = io.BytesIO()
    sip.build(act, SIREN, TERMS, first)
    aip = str(gateway.deposit(first.getvalue()).aip)
    (act / sip.PROOF).mkdir()
    hostile = {"1 <é>": ["a\x02", {"b": None}], "sha256": "ab", "historique": [{"qui": "Camille & Delattre"}], "": 3}
    (act / sip.PROOF / "preuve.xml").write_bytes(sip.write_proof(hostile))
    assert b"<sha256>ab</sha256>" in (act / sip.PROOF / "preuve.xml").read_bytes()
    for name in ("convocation-12", "liste", "proces-verbal"):
        (act / sip.PROOF / f"{name}.pdf").write_bytes(PDF)
    second = io.BytesIO()
    sip.build_proof(act, SIREN, replace(TERMS, schedule=SCHEDULE), aip, second)
    answer = gateway.deposit(second.getvalue())
    assert answer.accepted, answer.reasons
    for title in ("Convocation du conseil", "Liste des délibérations", "Procès-verbal"):
        assert f"<Title>{title}</Title>".encode() in second.getvalue(), title
    assert answer.message == f"PREUVE-{act.name}" and str(answer.aip) != aip
    assert f"<RepositoryArchiveUnitPID>{aip}</RepositoryArchiveUnitPID>".encode() in second.getvalue()
    again = io.BytesIO()
    sip.build(act, SIREN, TERMS, again)
    assert again.getvalue() == first.getvalue()  # the act's own is what it was


def test_a_dossier_de_preuve_is_deposited_after_its_act(
    door: tuple[type[Door], Config], act: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae, made = door
    sae.answers["/v1/versements"] = (201, reply(), "text/xml")
    (act / sip.PROOF).mkdir()
    (act / sip.PROOF / "preuve.xml").write_bytes(sip.write_proof({"acte": "x"}))
    assert archive.Sae(made).waiting_proofs() == []  # its act is not archived yet
    assert archive_command(made, tous=True) == 0
    assert archive.Sae(made).waiting_proofs() == [act.name]
    assert archive_command(made, tous=True) == 0
    assert f"{act.name}, dossier de preuve : versé" in capsys.readouterr().out
    assert (act / sip.PROOF / archive.ACCEPTED).is_file() and archive.Sae(made).waiting_proofs() == []
    assert len(sae.asked) == 2


def test_a_duration_that_changes_changes_nothing_of_what_was_deposited(
    door: tuple[type[Door], Config], act: Path
) -> None:
    sae, made = door
    new = Line("ACTES-15", "Destroy", "AR048", natures=frozenset({1}))
    changed = replace(made, archive_schedule=(new,))
    (act / sip.PROOF).mkdir()
    (act / sip.PROOF / "preuve.xml").write_bytes(sip.write_proof({"acte": "x"}))
    sae.answers["/v1/versements"] = (503, reply("KO", "plus tard", ""), "text/xml")
    archive_command(made, idacte=act.name)
    sae.answers["/v1/versements"] = (201, reply(), "text/xml")
    archive_command(changed, idacte=act.name)  # the table changed before its answer came
    (first, second) = (body for _method, _path, body in sae.asked)
    assert first == second and b"<Rule>ACTES-10</Rule>" in first
    assert archive.RULE.encode() not in second
    archive_command(changed, tous=True)
    assert b"PREUVE-" in sae.asked[-1][2] and b"<Rule>ACTES-10</Rule>" in sae.asked[-1][2]


def test_what_was_refused_follows_the_table_of_the_day(door: tuple[type[Door], Config], act: Path) -> None:
    sae, made = door
    sae.answers["/v1/versements"] = (400, reply("KO", "Règle de durée inconnue", ""), "text/xml")
    archive_command(made, idacte=act.name)
    assert not (act / archive.RULE).exists()
    sae.answers["/v1/versements"] = (201, reply(), "text/xml")
    line = Line("ACTES-15", "Keep", "AR038", natures=frozenset({1}))
    archive_command(replace(made, archive_schedule=(line,)), idacte=act.name)
    assert b"<Rule>ACTES-15</Rule>" in sae.asked[-1][2]


def test_a_rule_that_does_not_read_is_told(door: tuple[type[Door], Config], act: Path) -> None:
    (act / archive.RULE).write_bytes(b"{}")
    with pytest.raises(sip.SipError, match=r"\.regle\.json » ne se lit pas"):
        archive.Sae(door[1]).deposit(act.name)


FLOW_SUMMARY = {"genre": "pes", "etat": "acquitte", "depose_le": "2026-03-02T08:00:00+01:00",
                "modifie_le": "2026-03-03T09:00:00+01:00"}  # fmt: skip # a table


@pytest.fixture
def flow(act: Path) -> Path:
    """A signed flow that the DGFiP acknowledged."""
    folder = act.parent / "PES-41-mandats mars"
    folder.mkdir()
    for name, content in {
        "mandats mars.xml": b"<?xml version='1.0'?><PES_Aller/>",
        "acquittement.xml": b"<?xml version='1.0'?><PES_ACQUIT/>",
        "resume.json": json.dumps(FLOW_SUMMARY).encode(),
    }.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_flow_is_kept_ten_years_after_its_year(tmp_path: Path, clamd: FakeClamd, act: Path, flow: Path) -> None:
    made = config(act)
    assert archive.unarchived(made) == [act]  # no rule, no deposit
    with pytest.raises(sip.SipError, match="aucune règle de durée pour les flux"):
        archive.Sae(made).deposit(flow.name)
    made = replace(made, archive_flow_rule="ACTES-10", archive_flow_action="Destroy")
    assert archive.unarchived(made) == [act, flow]
    package = io.BytesIO()
    sip.build(flow, SIREN, sip.Terms(AGENCY, "ACTES-10", "Destroy"), package)
    gateway = Gateway(tmp_path)
    answer = gateway.deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    kept = gateway.registry.archive("gondecourt", str(answer.aip))
    assert kept is not None
    assert (kept.to_dict()["conserve_jusqua"], kept.action, kept.message) == ("2036-12-31", "Destroy", flow.name)
    assert {one["nom"] for one in kept.files} == {
        "manifest.xml",
        "content/mandats%20mars.xml",
        "content/acquittement.xml",
    } or {one["nom"] for one in kept.files} == {"manifest.xml", "content/mandats mars.xml", "content/acquittement.xml"}
    (flow / archive.ACCEPTED).write_bytes(b"<reponse/>")
    assert archive.unarchived(made) == [act]
    with pytest.raises(sip.SipError, match="aucun acte"):
        archive.latest_archived(made)


def test_a_flow_that_the_dgfip_refused_is_not_deposited(flow: Path) -> None:
    (flow / "resume.json").write_text(json.dumps(FLOW_SUMMARY | {"etat": "refuse"}))
    with pytest.raises(sip.SipError, match="n'est pas acquitté"):
        sip.build(flow, SIREN, TERMS, io.BytesIO())


@pytest.mark.parametrize("told", [[], {}, {"numero": "1"}, None])
def test_an_act_that_is_badly_told_keeps_no_other(
    door: tuple[type[Door], Config], act: Path, capsys: pytest.CaptureFixture[str], told: object
) -> None:
    sae, made = door
    sae.answers["/v1/versements"] = (201, reply(), "text/xml")
    bad = act.with_name("059-215902669-20260101-2026_001-DE")
    bad.mkdir()
    (bad / "ARActe.xml").write_bytes(ARACTE)
    (bad / "resume.json").write_text(json.dumps(told))
    archive_command(made, tous=True)
    assert (act / archive.ACCEPTED).is_file()
    assert f"{bad.name} : « {bad.name} » : resume.json ne dit pas ce qu'il faut" in capsys.readouterr().err


def test_what_xml_has_not_keeps_no_act_from_the_archive(tmp_path: Path, clamd: FakeClamd, act: Path) -> None:
    (act / "resume.json").write_text(json.dumps(ACT | {"objet_transmis": "Décision\x02 \ud800 n° 2"}))
    package = io.BytesIO()
    sip.build(act, SIREN, TERMS, package)
    answer = Gateway(tmp_path).deposit(package.getvalue())
    assert answer.accepted, answer.reasons
    assert "Décision? ? n° 2".encode() in package.getvalue()


def test_a_refused_act_waits_a_day_before_it_goes_again(act: Path) -> None:
    sae = archive.Sae(config(act))
    assert sae.waiting() == [act.name]
    (act / archive.REFUSED).write_bytes(b"<refus/>")
    assert sae.waiting() == []
    assert archive.unarchived(config(act)) == [act]
    yesterday = time.time() - 90000
    os.utime(act / archive.REFUSED, (yesterday, yesterday))
    assert sae.waiting() == [act.name]
    with pytest.raises(sip.SipError, match="aucun acte"):
        archive.latest_archived(config(act))
    (act / archive.ACCEPTED).write_bytes(b"<reponse/>")
    assert sae.waiting() == []
    assert archive.latest_archived(config(act)) == act.name


# -- the door of the archive ----------------------------------------------------------------------------------------

REPLY = (
    '<?xml version="1.0"?>\n<ArchiveTransferReply xmlns="{namespace}"><Comment>{comment}</Comment>'
    "<ReplyCode>{code}</ReplyCode><Operation><SystemId>{archive}</SystemId></Operation></ArchiveTransferReply>"
)


def reply(code: str = "OK", comment: str = "bien  reçu", archive: str = "aip-1") -> bytes:
    return REPLY.format(namespace=sip.NAMESPACE, code=code, comment=comment, archive=archive).encode()


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: dict[str, tuple[int, bytes, str]] = {}  # noqa: RUF012 - set by each test
    asked: list[tuple[str, str, bytes]] = []  # noqa: RUF012 - one for all requests
    cut = False

    def _do(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.asked.append((self.command, self.path, body))
        status, content, kind = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(content) + self.cut))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    do_GET = do_POST = _do

    def log_message(self, *_arguments: object) -> None:
        pass


def reaching(act: Path, url: str) -> Config:
    """A connector's configuration, with the files of its certificate."""
    folder = act.parents[2] / "certificat"
    folder.mkdir()
    for name in ("fullchain.pem", "key.pem"):
        (folder / name).touch()
    made = replace(config(act), archive_url=url, archive_certificate=folder)
    made.folder_state.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def door(act: Path) -> Iterator[tuple[type[Door], Config]]:
    """The archive's door, and a connector in front of it."""
    with opened(act) as found:
        yield found


@contextmanager
def opened(act: Path) -> Iterator[tuple[type[Door], Config]]:
    """The same, in front of the connector of an act."""
    Door.answers, Door.asked, Door.cut = {}, [], False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Door, reaching(act, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_the_doors_that_its_services_gave_a_connector_are_proven_and_only_asked(
    door: tuple[type[Door], Config], act: Path
) -> None:
    sae, made = door
    both = replace(made, passerelle_url=made.archive_url, passerelle_certificate=made.archive_certificate)
    sae.answers["/v1/archives"] = (200, b'{"compte": "gondecourt", "archives_en_tout": 12}', "application/json")
    asked = "/connecteur/a-transmettre?conserver=1"
    sae.answers[asked] = (200, b'{"results": [{"reference": "a:1"}]}', "application/json")
    found = {one["cle"]: one for one in proof.doors(both)}
    assert {key: one["verdict"] for key, one in found.items()} == {"passerelle": "ok", "archivage": "ok"}
    assert "le compte « gondecourt », qui a 12 archives" in found["archivage"]["detail"]
    assert found["passerelle"]["detail"].endswith("a 1 acte pour lui")
    assert {method for method, _path, _body in sae.asked} == {"GET"}
    sae.answers["/v1/archives"] = (403, b'{"erreur": "aucun compte"}', "application/json")
    sae.answers[asked] = (403, b'{"message": "aucune commune"}', "application/json")
    refused = proof.doors(both)
    assert [one["verdict"] for one in refused] == ["echec", "echec"]
    assert "aucune commune" in refused[0]["detail"] and "HTTP 403 : aucun compte" in refused[1]["detail"]
    sae.answers["/v1/archives"] = (200, b"autre chose", "application/json")
    assert "autre chose que le compte" in proof.doors(made)[0]["detail"]
    assert proof.doors(replace(made, archive_url="")) == []  # taken from its configuration: the rollout misses it


def archive_command(made: Config, **options: object) -> int:
    given = argparse.Namespace(**({"tous": False, "idacte": "", "vers": None, "dernier": False} | options))
    return cli._bring_back(made, given) if "restituer" in options else cli._archive(made, given)


def test_an_act_is_deposited_once(
    door: tuple[type[Door], Config], act: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae, made = door
    (act / archive.REFUSED).write_bytes(b"<refus/>")
    sae.answers["/v1/versements"] = (201, reply(), "text/xml")
    assert archive_command(made, idacte=act.name) == 0
    assert capsys.readouterr().out == f"{act.name} : versé. bien reçu\n"
    method, _path, body = sae.asked[0]
    assert (method, b"manifest.xml" in body) == ("POST", True)
    assert (act / archive.ACCEPTED).read_bytes() == reply()
    assert not (act / archive.REFUSED).exists()
    assert archive_command(made, idacte=act.name) == 0
    assert len(sae.asked) == 1
    assert archive.archived_as(act) == "aip-1"
    assert archive_command(made, tous=True) == 0
    assert capsys.readouterr().out.endswith("Tous les actes sont versés.\n")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ((202, b"", "text/plain"), 75, "en attente. reçu et contrôlé par le SAE, réponse à venir"),
        ((503, reply("KO", "plus tard", ""), "text/xml"), 75, "en attente. plus tard"),
        ((400, reply("KO", "mauvais", ""), "text/xml"), 1, "REFUSÉ. mauvais"),
        ((201, reply("OK", "sans archive", ""), "text/xml"), 1, "REFUSÉ. sans archive"),
    ],
)
def test_what_becomes_of_an_act_is_told(
    door: tuple[type[Door], Config],
    act: Path,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, bytes, str],
    status: int,
    said: str,
) -> None:
    sae, made = door
    sae.answers["/v1/versements"] = answer
    assert archive_command(made, tous=True) == status
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"{act.name} : {said}"
    waits, fails = int(status == 75), int(status == 1)
    assert last == f"0 acte(s) versé(s), {waits} en attente, {fails} à revoir."
    assert (act / archive.REFUSED).exists() == bool(fails)
    assert not (act / archive.ACCEPTED).exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"panne  du\nSAE", "text/plain"), "le SAE a répondu HTTP 500 : panne du SAE"),
        ((403, b'{"erreur": "compte inconnu"}', "application/json"), "le SAE a répondu HTTP 403 : compte inconnu"),
        ((403, b"[]", "application/json"), "le SAE a répondu HTTP 403 : "),
        ((403, b"oups", "application/json"), "le SAE a répondu HTTP 403 : "),
        ((500, b"x" * 300, "text/plain"), "le SAE a répondu HTTP 500 : " + "x" * 200),
        ((201, b"<?xml oups", "text/xml"), "la réponse du SAE est illisible ("),
    ],
)
def test_a_door_that_does_not_answer_is_for_later(
    door: tuple[type[Door], Config],
    act: Path,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, bytes, str],
    said: str,
) -> None:
    sae, made = door
    sae.answers["/v1/versements"] = answer
    assert archive_command(made, idacte=act.name) == 75
    told = capsys.readouterr().err
    assert told.startswith(f"{act.name} : {said}")
    assert said.endswith("(") or told == f"{act.name} : {said}\n"


def test_an_act_that_the_door_does_not_bear_keeps_no_other(
    door: tuple[type[Door], Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = door[1]
    asked: list[str] = []

    def deposit(_sae: archive.Sae, idacte: str, _written: object) -> archive.Outcome:
        asked.append(idacte)
        if idacte == "a":
            raise archive.ArchiveError("le SAE a répondu HTTP 500 : panne")
        if idacte == "c":
            raise archive.Away("sae.test : il ne répond pas.")
        return archive.Outcome(idacte, "verse", "aip", "bien reçu")

    monkeypatch.setattr(archive.Sae, "deposit", deposit)
    for names, status in ((["a", "b"], 75), (["b", "c", "d"], 75), (["b"], 0)):
        monkeypatch.setattr(archive.Sae, "waiting", lambda _sae, names=names: names)
        assert archive_command(made, tous=True) == status
    assert asked == ["a", "b", "b", "c", "b"]
    assert "1 acte(s) versé(s), 1 en attente, 0 à revoir." in capsys.readouterr().out


def test_an_archive_that_is_away_or_not_there_is_told(act: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = reaching(act, "http://127.0.0.1:1")
    assert archive_command(made, idacte=act.name) == 75
    told = capsys.readouterr().err
    assert told == f"{act.name} : 127.0.0.1 : le SAE (127.0.0.1) refuse la connexion, ou le réseau est coupé.\n"
    assert archive_command(replace(made, archive_url=""), idacte=act.name) == 1
    assert capsys.readouterr().err.startswith("Rien n'est versé : l'archivage n'est pas configuré sur ce connecteur")
    for name in ("", "inconnu", f"../acquittes/{act.name}"):
        assert archive_command(made, idacte=name) == 1
        assert capsys.readouterr().err == f"{name} : « {name} » n'est pas un acte acquitté de ce connecteur.\n"


def listed(*files: tuple[str, bytes]) -> tuple[int, bytes, str]:
    told = {"fichiers": [{"nom": name, "octets": len(content)} for name, content in files]}
    return 200, json.dumps(told).encode(), "application/json"


def test_an_archived_act_comes_back_and_is_compared(
    door: tuple[type[Door], Config], act: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae, made = door
    (act / archive.ACCEPTED).write_bytes(reply())
    there = [("manifest.xml", b"<m/>"), ("content/2026_014.pdf", PDF), ("content/ARActe.xml", b"autre"),
             ("content/annexe.pdf", b"a"), ("content/..", b"")]  # fmt: skip # a row a line
    sae.answers["/v1/archives/aip-1"] = listed(*there)
    for name, content in there:
        sae.answers[f"/v1/archives/aip-1/{name}"] = (200, content, "application/octet-stream")
    target = tmp_path / "retour"
    assert archive_command(made, restituer=True, dernier=True, vers=target) == 1
    told = capsys.readouterr()
    digest = hashlib.sha256(PDF).hexdigest()
    assert told.out.splitlines()[:4] == [
        f"Acte {act.name}, restitué par le SAE :",
        f"2026_014.pdf ({len(PDF)} octets) : identique",
        f"  SHA-256 ici     : {digest}",
        f"  SHA-256 archive : {digest}",
    ]
    assert "ARActe.xml (5 octets) : DIFFÉRENT" in told.out
    assert "annexe.pdf (1 octets) : absent d'ici\n  SHA-256 ici     : -\n" in told.out
    assert told.err == "Ce qui revient n'est pas ce qui est ici : ARActe.xml.\n"
    assert {path.name for path in target.iterdir()} == {"2026_014.pdf", "ARActe.xml", "annexe.pdf"}
    assert (target / "2026_014.pdf").read_bytes() == PDF
    assert target.stat().st_mode & 0o027 == 0
    sae.answers["/v1/archives/aip-1"] = listed(there[1], there[3])
    assert archive_command(made, restituer=True, idacte=act.name) == 0
    sae.answers["/v1/archives/aip-1"] = listed()
    assert archive_command(made, restituer=True, idacte=act.name) == 1
    assert capsys.readouterr().err == "Ce qui revient n'est pas ce qui est ici : aucun fichier.\n"


def test_a_new_disk_asks_the_archive_for_its_identifier(
    door: tuple[type[Door], Config], capsys: pytest.CaptureFixture[str]
) -> None:
    sae, made = door
    path = f"/v1/versements/{quote(sip.message_identifier('acte-perdu'), safe='')}"
    sae.answers |= {
        path: (200, reply(), "text/xml"),
        "/v1/archives/aip-1": listed(("content/a.pdf", b"a")),
        "/v1/archives/aip-1/content/a.pdf": (200, b"a", "x/y"),
    }
    assert archive_command(made, restituer=True, idacte="acte-perdu") == 0
    assert "a.pdf (1 octets) : absent d'ici" in capsys.readouterr().out
    for answer, said in (
        ((404, b"", "text/plain"), "« acte-perdu » n'est pas archivé."),
        ((500, b"panne", "text/plain"), "le SAE a répondu HTTP 500 : panne"),
        ((200, reply("KO", "refusé"), "text/xml"), "« acte-perdu » n'est pas archivé : refusé"),
    ):
        sae.answers[path] = answer
        assert archive_command(made, restituer=True, idacte="acte-perdu") == 1
        assert capsys.readouterr().err == f"Rien n'est restitué : {said}\n"


def test_a_file_that_does_not_come_whole_is_told(
    door: tuple[type[Door], Config], act: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sae, made = door
    (act / archive.ACCEPTED).write_bytes(reply())
    sae.answers["/v1/archives/aip-1"] = listed(("content/a.pdf", b"abc"))
    path = "/v1/archives/aip-1/content/a.pdf"
    for answer, cut, said in (
        ((410, b"parti", "text/plain"), False, "« content/a.pdf » : le SAE a répondu HTTP 410 : parti"),
        ((200, b"ab", "x/y"), False, "« content/a.pdf » : 2 octets reçus au lieu de 3."),
    ):
        sae.answers[path] = answer
        assert archive_command(made, restituer=True, idacte=act.name) == 1
        assert capsys.readouterr().err == f"Rien n'est restitué : {said}\n"
        assert not cut
    sae.answers["/v1/archives/aip-1"] = (500, b"panne", "text/plain")
    assert archive_command(made, restituer=True, idacte=act.name) == 1
    assert capsys.readouterr().err == "Rien n'est restitué : le SAE a répondu HTTP 500 : panne\n"


def test_a_body_that_is_cut_is_told(door: tuple[type[Door], Config], act: Path, tmp_path: Path) -> None:
    sae, made = door
    sae.answers["/v1/archives/aip-1/a"] = (200, b"ab", "x/y")
    sae.cut = True
    with pytest.raises(archive.ArchiveError, match=r"^« a » : lecture interrompue \(ChunkedEncodingError\)\.$"):
        archive.Sae(made)._fetch("aip-1", "a", tmp_path / "a", 3)


@pytest.mark.parametrize(("hours", "again"), [(23, False), (25, True)])
def test_a_refusal_lasts_a_day(act: Path, hours: int, again: bool) -> None:
    (act / archive.REFUSED).write_bytes(b"<refus/>")
    moment = time.time() - hours * 3600
    os.utime(act / archive.REFUSED, (moment, moment))
    assert archive.Sae(config(act)).waiting() == ([act.name] if again else [])


def test_calls_bear_the_commune_s_certificate(act: Path) -> None:
    made = archive.session(config(act), Path("/etc/creatic/pki/sae"))
    assert made.cert == ("/etc/creatic/pki/sae/fullchain.pem", "/etc/creatic/pki/sae/key.pem")
    assert (made.verify, made.trust_env) == (str(config(act).autorites), False)
