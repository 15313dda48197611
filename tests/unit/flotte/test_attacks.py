"""What a machine refuses: everything but what was signed for it, now. What was in place stays, the reason is French."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creatic_flotte import cli, manifest
from creatic_flotte.run import Result
from creatic_flotte.settings import load
from creatic_guichet.store import common_name

from creatic.fleet import bundle, signing
from creatic.fleet.signing import Signer
from creatic.pki.keys import Passphrases
from creatic_agent.configuration import ConfigError
from testbed.connector import SIREN, Authority
from testbed.fleet import DAY, Door, Machine, Publisher, ssh_key

NAME = "gondecourt-connecteur"
YEAR = 365 * DAY


@pytest.fixture
def in_place(machine: Machine, publisher: Publisher, url: str) -> Machine:
    """A machine at version 5."""
    publisher.publish(NAME, 5)
    assert machine.passes(url) == ("bon", "version 5 appliquée")
    return machine


@pytest.fixture
def refuses(in_place: Machine, url: str) -> Callable[..., str]:
    """A pass that must change nothing; gives what is said."""

    def asked(kind: str = "refus", address: str = "") -> str:
        before, runs = in_place.tree(), len(in_place.runs)
        found, text = in_place.passes(address or url)
        assert found == kind, text
        assert in_place.tree() == before
        assert in_place.version() == 5
        assert len(in_place.runs) == runs
        assert not list((in_place.settings.state / "arrivee").glob("*"))
        return text

    return asked


def test_both_sides_say_the_same(publisher: Publisher, machine: Machine) -> None:
    assert (signing.NAMESPACE, signing.SIGNER, signing.FORMAT) == (manifest.NAMESPACE, manifest.SIGNER, manifest.FORMAT)
    text = publisher.text(NAME, b"code", b"donnees")
    found = manifest.verify(machine.settings, text, publisher.signer.sign(text))
    assert (found.machine, found.version, found.code.sha256) == (NAME, 1, bundle.part(b"code")["sha256"])


def test_a_version_is_taken_applied_and_told(machine: Machine, publisher: Publisher, door: Door, url: str) -> None:
    assert machine.passes(url)[0] == "refus"  # the door does not expect it
    publisher.bring({}, [])
    publisher.publish(NAME, 1)
    machine.result = Result(True, changed=["Base | Ensure time zone"], proofs=[{"acte": "acquitté"}])
    assert machine.passes(url) == ("bon", "version 1 appliquée")
    version = machine.runs[-1]
    assert json.loads((version / "donnees" / "variables.json").read_text()) == {"secret": f"de {NAME}"}
    assert (version / "donnees" / "variables.json").stat().st_mode & 0o077 == 0
    assert (version / "code" / "version").read_bytes() == b"1"
    told = door.store.reports(0)
    # What it could not tell before is told too.
    assert [(one["genre"], one["version"], one["posee"]) for one in told] == [("refus", 0, False), ("bon", 1, True)]
    assert told[1]["preuves"] == [{"acte": "acquitté"}]
    assert "creatic_flotte_version 1" in (machine.settings.metrics / "flotte.prom").read_text()
    assert machine.passes(url) == ("a_jour", "version 1 en place")
    assert len(machine.runs) == 1


def test_nothing_yet_is_no_fault(machine: Machine, publisher: Publisher, door: Door, url: str) -> None:
    publisher.publish("autre" if (machine.settings.certificate / "autre").exists() else NAME, 1)
    with door.store._open() as db:
        db.execute("UPDATE machines SET version = 0")
    assert machine.passes(url) == ("a_jour", "le guichet n'a encore rien pour cette machine")


def test_roll_back_is_refused(in_place: Machine, publisher: Publisher, door: Door, refuses: Callable[..., str]) -> None:
    """An old backup of the door, put back: signed, not expired, older."""
    shutil.copytree(door.folder, door.folder.with_name("sauvegarde"))
    with door.store._open() as db:  # what the door itself would never take
        db.execute("UPDATE machines SET version = 0")
    publisher.publish(NAME, 4)
    assert "retour en arrière refusé" in refuses()


def test_a_replayed_version_is_applied_once(in_place: Machine, url: str) -> None:
    assert in_place.passes(url)[0] == "a_jour"
    assert len(in_place.runs) == 1


def test_two_contents_for_one_version(
    in_place: Machine, publisher: Publisher, door: Door, refuses: Callable[..., str]
) -> None:
    with door.store._open() as db:
        db.execute("UPDATE machines SET version = 0")
    publisher.publish(NAME, 5)  # encrypted anew: another content
    assert "deux publications sous le même numéro" in refuses()


def test_a_frozen_door(in_place: Machine, publisher: Publisher, refuses: Callable[..., str]) -> None:
    past = dt.datetime.now(dt.UTC) - DAY
    publisher.publish(NAME, 6, expire=past.isoformat(timespec="seconds"))
    text = refuses()
    assert "expirée depuis" in text
    assert "ne donne plus rien de récent" in text


def test_a_manifest_of_tomorrow(in_place: Machine, publisher: Publisher, refuses: Callable[..., str]) -> None:
    tomorrow = dt.datetime.now(dt.UTC) + DAY
    publisher.publish(NAME, 6, publie=tomorrow.isoformat(timespec="seconds"))
    assert "à venir" in refuses()


@pytest.mark.parametrize(("clock", "words"), [(-YEAR, "à venir"), (YEAR, "expirée")])
def test_a_clock_wrong_by_a_year(
    in_place: Machine, publisher: Publisher, refuses: Callable[..., str], clock: dt.timedelta, words: str
) -> None:
    publisher.publish(NAME, 6)
    in_place.clock = clock
    text = refuses()
    assert words in text
    assert "l'horloge de cette machine dit" in text
    assert "remettez-la à l'heure" in text


def test_a_door_whose_certificate_is_out_of_date(
    door: Door, authority: Authority, refuses: Callable[..., str], in_place: Machine
) -> None:
    """What a clock wrong by a year meets first."""
    old = authority.folder / "guichet-ancien"
    if not old.exists():
        authority.issue("guichet-ancien", "server", days_ago=400)
    with door.served(old) as address:
        assert "son horloge est fausse, ou le certificat du guichet est à renouveler" in refuses(address=address)


def test_another_door(door: Door, authority: Authority, refuses: Callable[..., str], in_place: Machine) -> None:
    foreign = authority.folder / "faux-guichet"
    if not foreign.exists():
        authority.self_signed("faux-guichet")
    with door.served(foreign) as address:
        assert "ce n'est pas le guichet" in refuses(address=address)


def test_an_unknown_key(in_place: Machine, publisher: Publisher, tmp_path: Path, refuses: Callable[..., str]) -> None:
    (tmp_path / "voleur").mkdir()
    thief = Signer(tmp_path / "voleur" / "flotte", Passphrases(tmp_path / "voleur" / "flotte", generate=True))
    publisher.publish(NAME, 6, signer=thief)
    assert "clé inconnue" in refuses()


def test_a_revoked_key(in_place: Machine, publisher: Publisher, refuses: Callable[..., str]) -> None:
    in_place.settings.revoked.write_text(publisher.signer.public + "\n")
    publisher.publish(NAME, 6)
    assert "clé révoquée" in refuses()


def test_a_signature_made_for_something_else(
    in_place: Machine, publisher: Publisher, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    """The key is known; its signature is of another namespace (git's, say)."""
    key = ssh_key(tmp_path, "autre")
    public = (tmp_path / "autre.pub").read_text()
    in_place.settings.signers.write_text(f"flotte {public}")
    code, sealed = bundle.data({}), b"donnees"
    text = publisher.text(NAME, code, sealed, 6)
    (tmp_path / "texte").write_text(text)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "git", tmp_path / "texte"], check=True)
    publisher.bring({NAME: (text, (tmp_path / "texte.sig").read_text())}, [code, sealed])
    assert "pour un autre usage" in refuses()


@pytest.mark.parametrize("signature", ["", "x", "-----BEGIN SSH SIGNATURE-----\nabcd\n-----END SSH SIGNATURE-----\n"])
def test_no_signature(in_place: Machine, publisher: Publisher, refuses: Callable[..., str], signature: str) -> None:
    code, sealed = bundle.data({}), b"donnees"
    publisher.bring({NAME: (publisher.text(NAME, code, sealed, 6), signature)}, [code, sealed])
    assert "signature illisible" in refuses()


def test_a_changed_manifest(in_place: Machine, publisher: Publisher, refuses: Callable[..., str]) -> None:
    code, sealed = bundle.data({}), b"donnees"
    text = publisher.text(NAME, code, sealed, 6)
    publisher.bring({NAME: (text.replace('"canari"', '"autre"'), publisher.signer.sign(text))}, [code, sealed])
    assert "modifié après sa signature" in refuses()


def test_the_manifest_of_another_machine(
    in_place: Machine, publisher: Publisher, door: Door, authority: Authority, refuses: Callable[..., str]
) -> None:
    if not (authority.folder / "autre-connecteur").exists():
        authority.issue("autre-connecteur", common_name=common_name("autre-connecteur"))
    publisher.publish("autre-connecteur", 6)
    with door.store._open() as db:
        db.execute(
            "UPDATE machines SET (manifeste, signature, code, donnees) = (SELECT manifeste, signature, code, donnees "
            "FROM machines WHERE nom = 'autre-connecteur') WHERE nom = ?",
            (NAME,),
        )
    assert "manifeste de 'autre-connecteur'" in refuses()


def test_the_data_of_another_machine(
    in_place: Machine, publisher: Publisher, authority: Authority, refuses: Callable[..., str]
) -> None:
    """Signed for this machine by mistake, or encrypted for a key that it never had."""
    code = bundle.data({})
    sealed = bundle.encrypt(code, (authority.folder / "guichet" / "cert.pem").read_text())
    text = publisher.text(NAME, code, sealed, 6)
    publisher.bring({NAME: (text, publisher.signer.sign(text))}, [code, sealed])
    assert "ne s'ouvrent avec aucune clé de cette machine" in refuses()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 0), ("version", -1), ("version", "7"), ("version", 1.5), ("version", True), ("version", 10**30),
        ("expire", "demain"), ("expire", "2030-01-01"), ("code", {"sha256": "../../etc/passwd", "octets": 3}),
        ("donnees", {"sha256": "a" * 64, "octets": 10**12}), ("donnees", None), ("format", 2), ("intrus", 1),
    ],
)  # fmt: skip # a case a line
def test_a_signed_manifest_that_makes_no_sense(
    in_place: Machine, publisher: Publisher, door: Door, refuses: Callable[..., str], field: str, value: Any
) -> None:
    text = publisher.text(NAME, b"code", b"donnees", 6, **{field: value})
    with door.store._open() as db:
        db.execute("UPDATE machines SET manifeste = ?, signature = ?", (text, publisher.signer.sign(text)))
    assert "illisible" in (said := refuses()) or "autre format" in said


def _instead(change: Callable[[bytes], bytes], declared: int | None = None, path: str = "/lots/") -> Any:
    """A door that answers with other bytes."""

    def meddle(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if not environ["PATH_INFO"].startswith(path):
            return None
        body = change(meddle.content)  # type: ignore[attr-defined] # given by the test
        size = declared if declared is not None else len(body)
        start("200 OK", [("Content-Length", str(size))] if size >= 0 else [])
        return [body[:10], body[10:]]

    return meddle


@pytest.mark.parametrize(
    ("change", "declared", "kind", "words"),
    [
        (lambda body: body[:-1], None, "refus", "tronqué, ou allongé"),
        (lambda body: body + b"x", None, "refus", "tronqué, ou allongé"),
        (lambda body: body[:-1], -1, "refus", "lot tronqué"),
        (lambda body: body + b"x" * 200_000, -1, "refus", "lot plus long"),
        (lambda body: bytes([body[0] ^ 1]) + body[1:], None, "refus", "n'est pas celui qui a été signé"),
    ],
)
def test_a_lot_that_is_not_what_was_signed(
    in_place: Machine, publisher: Publisher, door: Door, refuses: Callable[..., str], change: Any, declared: Any,
    kind: str, words: str,
) -> None:  # fmt: skip # the signature as one
    published = publisher.publish(NAME, 6)
    meddle = _instead(change, declared)
    meddle.content = published["code"]
    door.meddle = meddle
    assert words in refuses(kind)
    door.meddle = None


def test_a_line_that_is_cut_is_no_refusal(
    in_place: Machine, publisher: Publisher, door: Door, url: str, refuses: Callable[..., str]
) -> None:
    published = publisher.publish(NAME, 6)

    def cut(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if not environ["PATH_INFO"].startswith("/lots/"):
            return None
        start("200 OK", [("Content-Length", str(len(published["code"])))])
        return [published["code"][:50]]

    door.meddle = cut
    assert "coupée" in refuses("injoignable")
    door.meddle = None
    assert in_place.passes(url) == ("bon", "version 6 appliquée")


def test_nobody_at_the_door(in_place: Machine, refuses: Callable[..., str], url: str, door: Door) -> None:
    assert "ne répond pas" in refuses("injoignable", "https://localhost:1")
    assert not list((in_place.settings.state / "courrier").glob("*.json"))  # nothing to tell of that
    assert in_place.passes(url)[0] == "a_jour"


def test_a_door_in_trouble_is_no_refusal(door: Door, refuses: Callable[..., str]) -> None:
    def trouble(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        start("503 Service Unavailable", [("Content-Length", "0")])
        return [b""]

    door.meddle = trouble
    assert "ne peut pas répondre" in refuses("injoignable")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"manifeste": 1, "signature": 2}', b"x" * 100_000])
def test_a_door_that_answers_nonsense(door: Door, refuses: Callable[..., str], body: bytes) -> None:
    meddle = _instead(lambda _body: body, path="/manifeste")
    meddle.content = b""
    door.meddle = meddle
    text = refuses()
    assert "autre chose qu'un manifeste" in text or "sans fin" in text


def test_what_waits_is_told_later(in_place: Machine, publisher: Publisher, door: Door, url: str) -> None:
    publisher.publish(NAME, 6)

    def deaf(environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] != "POST":
            return None
        start("503 Service Unavailable", [("Content-Length", "0")])
        return [b""]

    door.meddle = deaf
    assert in_place.passes(url)[0] == "bon"
    assert len(door.store.reports(0)) == 1
    door.meddle = None
    in_place.passes(url)
    assert [one["genre"] for one in door.store.reports(0)] == ["bon", "bon", "a_jour"]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"ceci n'est pas une archive",
        bundle.data({"a": os.urandom(5000)})[:3000],
        bundle.data({"../sorti": b"dehors"}),
        bundle.data({"/etc/sorti": b"dehors"}),
    ],
    ids=["vide", "texte", "coupée", "au-dessus", "absolu"],
)
def test_a_signed_archive_that_is_damaged(
    in_place: Machine, publisher: Publisher, authority: Authority, tmp_path: Path, url: str, archive: bytes
) -> None:
    """Nothing of it leaves its folder."""
    clear = bundle.data({})
    sealed = bundle.encrypt(clear, (authority.folder / NAME / "cert.pem").read_text())
    text = publisher.text(NAME, archive or b"x", sealed, 6)
    publisher.bring({NAME: (text, publisher.signer.sign(text))}, [archive or b"x", sealed])
    before = in_place.tree()
    kind, said = in_place.passes(url)
    assert (kind, in_place.version()) == ("refus", 5), said
    assert in_place.tree() == before
    assert not list(tmp_path.rglob("sorti"))
    assert not Path("/etc/sorti").exists()


def test_a_full_disk(in_place: Machine, publisher: Publisher, small_disk: Path, url: str) -> None:
    """On a real file system that is full in the middle."""
    shutil.copytree(in_place.settings.state, small_disk / "etat")
    in_place.settings = replace(in_place.settings, state=small_disk / "etat")
    code = bundle.data({"gros": os.urandom(400_000)})
    sealed = bundle.encrypt(bundle.data({}), (in_place.settings.current / "cert.pem").read_text())
    text = publisher.text(NAME, code, sealed, 6)
    publisher.bring({NAME: (text, publisher.signer.sign(text))}, [code, sealed])
    before = in_place.tree()
    kind, said = in_place.passes(url)
    assert (kind, in_place.version()) == ("echec", 5)
    assert said.startswith("le disque de cette machine est plein : ce qui était en place est gardé")
    assert in_place.tree() == before


def test_a_crash_between_the_two_leaves_no_way_back(in_place: Machine, publisher: Publisher, url: str) -> None:
    """The version is in place, and the state does not say it yet."""
    publisher.publish(NAME, 6)
    in_place.passes(url)
    state = in_place.settings.state / "etat.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"version": 5}))
    assert in_place.passes(url) == ("bon", "version 6 appliquée")  # what was said of version 5 is not said of 6
    state.unlink()
    assert in_place.passes(url) == ("bon", "version 6 appliquée")  # applied again, at worst
    assert in_place.version() == 6


def test_a_damaged_state_takes_nothing(in_place: Machine, publisher: Publisher, url: str, door: Door) -> None:
    publisher.publish(NAME, 6)
    (in_place.settings.state / "etat.json").write_text('{"version"')
    assert "est abîmé : rien n'est pris" in in_place.passes(url)[1]
    assert len(in_place.runs) == 1
    assert "est abîmé" in door.store.reports(0)[-1]["texte"]


def test_a_run_that_fails_is_tried_again_later_and_told(
    in_place: Machine, publisher: Publisher, door: Door, url: str
) -> None:
    publisher.publish(NAME, 6)
    in_place.result = Result(False, "Base | Ensure : le paquet manque")
    assert in_place.passes(url) == ("echec", "version 6 : Base | Ensure : le paquet manque")
    told = door.store.reports(0)[-1]
    assert (told["genre"], told["version"], told["posee"]) == ("echec", 6, False)
    runs = len(in_place.runs)
    assert in_place.passes(url) == ("echec", "version 6 : Base | Ensure : le paquet manque")  # said, not done again
    assert len(in_place.runs) == runs
    in_place.clock = dt.timedelta(hours=2)
    in_place.result = Result(True)
    assert in_place.passes(url) == ("bon", "version 6 appliquée")


def test_drift_is_looked_for_each_day(in_place: Machine, url: str) -> None:
    in_place.result = Result(True, changed=["SSH | Ensure"])
    in_place.clock = dt.timedelta(hours=25)
    assert in_place.passes(url) == ("bon", "version 5 appliquée, 1 écarts corrigés")
    assert in_place.again == [False, True]  # proved once


def test_a_machine_off_for_three_months_comes_back(in_place: Machine, publisher: Publisher, url: str) -> None:
    for number in (6, 7, 8):
        publisher.publish(NAME, number)
    in_place.clock = dt.timedelta()
    assert in_place.passes(url) == ("bon", "version 8 appliquée")


def test_a_renewed_certificate_opens_what_was_encrypted_before(
    in_place: Machine, publisher: Publisher, authority: Authority, url: str
) -> None:
    publisher.publish(NAME, 6)
    if not (authority.folder / "renouvele").exists():
        authority.issue("renouvele", common_name=common_name(NAME))
    folder = in_place.settings.certificate
    (folder / "ancien").symlink_to(authority.folder / NAME)
    (folder / "current").unlink()
    (folder / "current").symlink_to(authority.folder / "renouvele")
    assert in_place.passes(url) == ("bon", "version 6 appliquée")


def test_the_version_that_brings_a_renewed_certificate_opens_with_the_key_that_waits_for_it(
    in_place: Machine, publisher: Publisher, authority: Authority, url: str
) -> None:
    publisher.publish(NAME, 6)
    waiting = in_place.settings.certificate / "prochain"
    waiting.mkdir()
    (waiting / "key.pem").write_bytes((authority.folder / NAME / "key.pem").read_bytes())
    if not (authority.folder / "avant").exists():
        authority.issue("avant", common_name=common_name(NAME))
    current = in_place.settings.certificate / "current"
    current.unlink()
    current.symlink_to(authority.folder / "avant")
    assert in_place.passes(url) == ("bon", "version 6 appliquée")


def test_one_pass_at_a_time(in_place: Machine, url: str, refuses: Callable[..., str]) -> None:
    import fcntl

    with (in_place.settings.state / "verrou").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "un autre passage est en cours" in refuses("injoignable")


def test_only_certificates_of_expected_machines_open_the_door(
    in_place: Machine, publisher: Publisher, authority: Authority, tmp_path: Path, url: str
) -> None:
    for name, common, siren in (("pc", "Secrétariat", SIREN), ("voisin", common_name(NAME), "215903683")):
        if not (authority.folder / name).exists():
            authority.issue(name, common_name=common, siren=siren)
        intruder = Machine(tmp_path / f"intrus-{name}", authority, publisher.signer.signers, name)
        kind, text = intruder.passes(url)
        assert kind == "refus"
        assert "n'est celui d'aucune machine que le guichet attend" in text


def test_a_machine_gets_no_part_of_another(
    in_place: Machine, publisher: Publisher, authority: Authority, tmp_path: Path, url: str
) -> None:
    import http.client

    other = Machine(tmp_path / "autre", authority, publisher.signer.signers, "voisin-connecteur")
    publisher.publish("voisin-connecteur", 1)
    sealed = publisher.publish(NAME, 6)["donnees"]
    context = ssl.create_default_context(cafile=str(authority.bundle))
    context.load_cert_chain(other.settings.current / "fullchain.pem", other.settings.current / "key.pem")
    connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context)
    for path in (bundle.part(sealed)["sha256"], "..%2fguichet.db", "..", "0" * 64):
        connection.request("GET", f"/lots/{path}")
        answer = connection.getresponse()
        assert answer.status == 404
        answer.read()
    connection.close()


def test_the_command_says_it_in_french(in_place: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    paths = {"autorites": "authorities", "certificat": "certificate", "signataires": "signers", "revoques": "revoked"}
    paths |= {"etat": "state", "metriques": "metrics"}
    said = {french: str(getattr(in_place.settings, name)) for french, name in paths.items()}
    config.write_text(json.dumps(said | {"machine": NAME, "guichet": "https://localhost:1"}))
    assert load(config).machine == NAME
    assert cli.main(["--config", str(config), "etat"]) == 0
    assert "Version 5 (en place)" in capsys.readouterr().out
    assert cli.main(["--config", str(config), "passer"]) == 75
    assert "en attente : le guichet ne répond pas" in capsys.readouterr().err
    config.write_text("{")
    assert cli.main(["--config", str(config), "passer"]) == 1
    assert f"{config}, ligne 1 : ce n'est pas du JSON valide. Relancez" in capsys.readouterr().err
    config.write_text(json.dumps(said | {"machine": NAME, "guichets": "https://localhost:1", "derive_s": 0}))
    assert cli.main(["--config", str(config), "passer"]) == 1
    told = capsys.readouterr().err
    for fault in ("« guichets » : champ inconnu ; vouliez-vous dire « guichet » ?", "« derive_s » : « 0 » doit être",
                  "« guichet » : champ obligatoire absent"):  # fmt: skip # a list of words
        assert f"{config}, champ {fault}" in told
    with pytest.raises(ConfigError):
        load(tmp_path / "absent.json")
    done = subprocess.run([sys.executable, "-m", "creatic_flotte", "--config", "/nulle/part", "passer"],
                          capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip # one call by its parts
    assert "Traceback" not in done.stderr
