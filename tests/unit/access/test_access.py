"""The SSH authority of time-boxed access: what it refuses, what it issues; ssh-keygen is the judge."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError

from creatic.access import authority as access
from creatic.access.authority import (
    AccessError,
    Demand,
    PublicKey,
    SshAuthority,
    duration,
    host_principals,
    principals,
    public_key,
)
from creatic.pki.keys import Passphrases

TOP = Path(__file__).parents[3]
NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOURS = dt.timedelta(hours=4)
DEMAND = Demand("auditeur", HOURS, ["auditeur@tdt_connector"], "Jeanne Élie", "audit annuel", "root@poste")


def keygen(*arguments: str | Path) -> str:
    done = subprocess.run(["ssh-keygen", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def new_key(folder: Path, *options: str, comment: str = "Jeanne") -> Path:
    keygen("-q", "-N", "", "-C", comment, "-f", folder / "cle", *(options or ("-t", "ed25519")))
    return folder / "cle.pub"


@pytest.fixture
def authority(tmp_path: Path) -> SshAuthority:
    made = SshAuthority(tmp_path / "acces", Passphrases(tmp_path / "acces", generate=True))
    assert made.ensure(create=True) == ["autorité SSH créée"]
    return made


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    return public_key(new_key(tmp_path))


# -- what is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("4h", 14400), ("90min", 5400), ("90m", 5400), ("1h30m", 5400), ("24H", 86400), ("45s", 45), (" 2h ", 7200)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "4", "h", "-4h", "4 h", "4h;id", "1j", "25h", "24h1s", "9s", "999999h"])
def test_durations_refused(text: str) -> None:
    with pytest.raises(AccessError, match=r"--duree : «"):
        duration(text)


def test_a_refused_duration_says_what_is_taken() -> None:
    with pytest.raises(AccessError, match=r"^--duree : « 25h » refusée ; un accès dure de 10 s à 24 h$"):
        duration("25h")


def test_a_host_accepts_what_was_granted_for_it_alone() -> None:
    accepted = set(host_principals(["tdt_connector", "vague_2", "commune_gondecourt"], "auditeur"))
    for profiles, communes in (
        ([], []),
        (["tdt_connector"], []),
        ([], ["gondecourt"]),
        (["tdt_connector"], ["gondecourt"]),
        (["commune_pc", "tdt_connector"], ["la-madeleine", "gondecourt"]),
    ):
        assert accepted & set(principals("auditeur", profiles, communes)), (profiles, communes)
    for role, profiles, communes in (
        ("auditeur", ["commune_pc"], []),
        ("auditeur", [], ["la-madeleine"]),
        ("auditeur", ["commune_pc"], ["gondecourt"]),
        ("auditeur", ["tdt_connector"], ["la-madeleine"]),
        ("prestataire", ["tdt_connector"], ["gondecourt"]),
    ):
        assert not accepted & set(principals(role, profiles, communes)), (role, profiles, communes)


def test_unknown_roles_and_boundless_contractors_are_refused() -> None:
    with pytest.raises(AccessError, match=r"rôle « root » inconnu ; connus : auditeur, prestataire"):
        principals("root", [], [])
    with pytest.raises(AccessError, match="n'entre pas partout : donnez --profil ou --commune"):
        principals("prestataire", [], [])
    with pytest.raises(AccessError, match="500 combinaisons"):
        principals("auditeur", ["a", "b", "c", "d", "e"], [f"c{number}" for number in range(100)])


def test_keys_that_cannot_be_certified(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(AccessError, match="--cle") as caught:
            public_key(path)
        return str(caught.value)

    good = new_key(tmp_path)
    assert "illisible" in refusal(tmp_path / "absente.pub")
    assert "clé privée" in refusal(good.with_suffix(""))
    for name, text in {
        "vide": "",
        "texte": "bonjour à tous",
        "deux": good.read_text() * 2,
        "coupee": good.read_text()[:40],
        "options": f'command="id" {good.read_text()}',
    }.items():
        (tmp_path / name).write_text(text)
        assert "pas une clé publique SSH" in refusal(tmp_path / name), name
    (tmp_path / "binaire").write_bytes(b"\xff\xfe\x00")
    assert "pas du texte" in refusal(tmp_path / "binaire")
    weak = tmp_path / "faible"
    weak.mkdir()
    assert "RSA de 2048 bits refusée" in refusal(new_key(weak, "-t", "rsa", "-b", "2048"))


def test_a_certificate_is_no_key(tmp_path: Path, authority: SshAuthority, key: PublicKey) -> None:
    _granted, text = authority.grant(DEMAND, key)
    (tmp_path / "cle-cert.pub").write_text(text)
    with pytest.raises(AccessError, match="pas une clé publique"):
        public_key(tmp_path / "cle-cert.pub")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("who", " ", "--qui : manquant"),
        ("who", "Jeanne\nMartin", "--qui : 100 caractères"),
        ("why", "x" * 101, "--motif : 100 caractères"),
        ("source", "192.0.2.1,partout", "--source : « partout »"),
    ],
)
def test_a_bad_demand_issues_nothing(
    authority: SshAuthority, key: PublicKey, field: str, value: str, message: str
) -> None:
    with pytest.raises(AccessError, match=message):
        authority.grant(Demand(**(DEMAND.__dict__ | {field: value})), key)
    assert authority.listing() == []


# -- what is issued -----------------------------------------------------------------------------------------------


def test_the_certificate_says_who_where_until_when_and_records(
    tmp_path: Path, authority: SshAuthority, key: PublicKey
) -> None:
    granted, text = authority.grant(Demand(**(DEMAND.__dict__ | {"source": "192.0.2.0/24"})), key, NOON)
    (tmp_path / "c-cert.pub").write_text(text)
    shown = keygen("-L", "-f", tmp_path / "c-cert.pub")
    assert 'Key ID: "auditeur 1 : Jeanne Elie (audit annuel) par root@poste"' in shown
    assert re.search(r"Serial: 1\n", shown)
    assert re.search(r"Principals: \n\s+auditeur@tdt_connector\n\s+Critical", shown)
    end = int((NOON + HOURS).timestamp())
    assert f"force-command enregistrer 1 {end}\n" in shown
    assert "source-address 192.0.2.0/24" in shown
    assert shown.partition("Extensions:")[2].split() == ["permit-pty"]
    local_end = dt.datetime.fromtimestamp(end).isoformat()
    assert f"to {local_end}\n" in shown
    assert granted["cle"] in keygen("-l", "-f", tmp_path / "cle.pub")
    assert keygen("-l", "-f", authority.public).split()[1] in shown


@pytest.mark.parametrize("options", [("-t", "ecdsa"), ("-t", "rsa", "-b", "3072")])
def test_other_strong_keys(tmp_path: Path, authority: SshAuthority, options: tuple[str, ...]) -> None:
    folder = tmp_path / "autre"
    folder.mkdir()
    _granted, text = authority.grant(DEMAND, public_key(new_key(folder, *options)))
    (folder / "c-cert.pub").write_text(text)
    assert "Serial: 1" in keygen("-L", "-f", folder / "c-cert.pub")


def test_the_registry_is_appended_and_tells_states(authority: SshAuthority, key: PublicKey) -> None:
    for start in (NOON, NOON + HOURS, NOON + HOURS):
        authority.grant(DEMAND, key, start)
    authority.revoke(3, "fini", "root@poste", NOON + HOURS)
    rows = authority.listing(NOON + HOURS)
    assert [(row["serie"], row["etat"]) for row in rows] == [(3, "revoque"), (2, "valide"), (1, "expire")]
    lines = [json.loads(line) for line in authority.registry.read_text().splitlines()]
    assert [line["evenement"] for line in lines] == ["delivrance"] * 3 + ["revocation"]
    assert lines[3]["motif"] == "fini"


def test_the_key_is_closed_and_encrypted(authority: SshAuthority, tmp_path: Path) -> None:
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(authority.key.stat().st_mode) == 0o600
    assert "ENCRYPTED PRIVATE KEY" in authority.key.read_text()
    assert stat.S_IMODE((tmp_path / "secrets" / "acces_ssh").stat().st_mode) == 0o600


# -- revocations --------------------------------------------------------------------------------------------------


def revoked(authority: SshAuthority, certificate: Path) -> bool:
    return "REVOKED" in keygen("-Q", "-f", authority.krl, certificate)


def test_the_published_list_refuses_what_is_revoked_and_nothing_else(
    tmp_path: Path, authority: SshAuthority, key: PublicKey
) -> None:
    files = []
    for number in (1, 2, 3):
        files.append(tmp_path / f"{number}-cert.pub")
        files[-1].write_text(authority.grant(DEMAND, key)[1])
    assert [revoked(authority, file) for file in files] == [False, False, False]
    authority.revoke("2", "", "root@poste")
    assert [revoked(authority, file) for file in files] == [False, True, False]
    published = authority.krl.read_bytes()
    assert authority.ensure() == []
    assert authority.krl.read_bytes() == published
    authority.revoke(2, "", "root@poste")  # again: nothing is written twice
    assert len(authority.registry.read_text().splitlines()) == 4


@pytest.mark.parametrize("serial", ["7", "0", "-1", "un", "", "1 2"])
def test_unknown_serials_are_refused(authority: SshAuthority, key: PublicKey, serial: str) -> None:
    authority.grant(DEMAND, key)
    with pytest.raises(AccessError, match=r"inconnu : « fab acces\.registre »"):
        authority.revoke(serial, "", "root@poste")


def test_a_revocation_cut_short_is_published_by_the_next_run(
    tmp_path: Path, authority: SshAuthority, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c-cert.pub"
    file.write_text(authority.grant(DEMAND, key)[1])
    with monkeypatch.context() as cut:

        def die(self: SshAuthority) -> None:
            raise KeyboardInterrupt

        cut.setattr(SshAuthority, "_publish_files", die)
        with pytest.raises(KeyboardInterrupt):
            authority.revoke(1, "", "root@poste")
    assert not revoked(authority, file)
    assert authority.ensure(check=True) == ["liste des certificats SSH révoqués publiée"]
    assert not revoked(authority, file)
    assert authority.ensure() == ["liste des certificats SSH révoqués publiée"]
    assert revoked(authority, file)


# -- an authority that is not whole -------------------------------------------------------------------------------


def test_without_an_authority_the_fix_is_told(tmp_path: Path, key: PublicKey) -> None:
    none = SshAuthority(tmp_path / "acces")
    for act in (none.ensure, none.listing, lambda: none.grant(DEMAND, key), lambda: none.revoke(1, "", "")):
        with pytest.raises(AccessError, match=r"aucune autorité SSH .* « fab pki\.creer »"):
            act()
    assert none.ensure(create=True, check=True) == ["autorité SSH à créer"]
    assert not none.directory.exists()
    with pytest.raises(PkiError, match="CREATIC_ACCES_SSH"):
        none.ensure(create=True)
    assert not none.directory.exists()


def test_a_lost_registry_or_key_stops_all(authority: SshAuthority, key: PublicKey) -> None:
    authority.grant(DEMAND, key)
    kept = authority.registry.read_bytes()
    authority.registry.unlink()
    for act in (authority.ensure, lambda: authority.ensure(create=True), lambda: authority.grant(DEMAND, key)):
        with pytest.raises(AccessError, match="registre des accès absent"):
            act()
    authority.registry.write_bytes(kept + b"{cass\n")
    with pytest.raises(AccessError, match=r"registre\.jsonl, ligne 2 : illisible"):
        authority.grant(DEMAND, key)
    authority.registry.write_bytes(kept)
    authority.key.unlink()
    with pytest.raises(AccessError, match="clé de l'autorité SSH absente"):
        authority.grant(DEMAND, key)
    assert authority.registry.read_bytes() == kept


def test_a_wrong_passphrase_issues_nothing(authority: SshAuthority, key: PublicKey) -> None:
    wrong = SshAuthority(authority.directory, Passphrases(authority.directory, {"ssh": "x" * 20}))
    with pytest.raises(AccessError, match="phrase secrète fausse"):
        wrong.grant(DEMAND, key)
    assert authority.listing() == []


def test_no_secret_is_left_outside_the_encrypted_key(
    tmp_path: Path, authority: SshAuthority, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ssh-keygen reads the key from memory: neither its arguments nor any file hold it."""
    seen: list[list[str]] = []
    real = subprocess.run

    def watch(command: list[str], **options: object) -> object:
        seen.append(command)
        return real(command, **options)  # type: ignore[call-overload] # passed through as it came

    monkeypatch.setattr(access.subprocess, "run", watch)
    authority.grant(DEMAND, key)
    passphrase = (tmp_path / "secrets" / "acces_ssh").read_text().strip()
    assert any("/proc/self/fd/" in word for word in seen[-1])
    assert not any(passphrase in word or "PRIVATE" in word for command in seen for word in command)
    clear = [path for path in authority.directory.rglob("*") if path.is_file() and b"OPENSSH PRIV" in path.read_bytes()]
    assert clear == []


# -- its edges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("10s", 10), ("1m", 60), ("1min", 60), ("1h", 3600)])
def test_durations_at_their_bounds(text: str, seconds: int) -> None:
    assert duration(text) == dt.timedelta(seconds=seconds)
    assert (access.LONGEST.total_seconds(), access.SHORTEST.total_seconds()) == (86400, 10)


@pytest.mark.parametrize(
    ("options", "good"),
    [
        (("-t", "rsa", "-b", "3072"), True),
        (("-t", "rsa", "-b", "2048"), False),
        (("-t", "ecdsa", "-b", "256"), True),
        (("-t", "ed25519"), True),
    ],
)
def test_keys_that_are_strong_enough(tmp_path: Path, options: tuple[str, ...], good: bool) -> None:
    path = new_key(tmp_path, *options, comment="Jeanne Élie")
    if good:
        found = public_key(path)
        assert (found.comment, len(found.line.split())) == ("Jeanne Élie", 2)
        assert found.fingerprint == keygen("-l", "-f", path).split()[1]
    else:
        with pytest.raises(AccessError, match="clé RSA de 2048 bits refusée"):
            public_key(path)


def test_a_key_needs_no_comment(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    path.write_text(" ".join(path.read_text().split()[:2]))
    assert public_key(path).comment == ""
    path.write_text(path.read_text().split()[0])
    with pytest.raises(AccessError, match="n'est pas une clé publique SSH"):
        public_key(path)


def test_what_ssh_keygen_complains_of_is_told(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"^ssh-keygen a échoué : .*absent"):
        access._run_keygen("-l", "-f", str(tmp_path / "absent"))
    assert access._run_keygen("-l", "-f", str(new_key(tmp_path))).startswith("256 SHA256:")


def test_a_failure_without_a_word_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdout, stderr, said in (
        ("", "", "sans explication"),
        ("sortie", "", "sortie"),
        ("sortie", "plainte", "plainte"),
    ):
        done = subprocess.CompletedProcess((), 1, stdout, stderr)
        monkeypatch.setattr(access.subprocess, "run", lambda *_command, done=done, **_options: done)
        with pytest.raises(AccessError, match=f"^ssh-keygen a échoué : {said}$"):
            access._run_keygen("-l")


def test_what_is_published_is_read_by_all(authority: SshAuthority) -> None:
    for path, mode in ((authority.public, 0o644), (authority.krl, 0o644), (authority.key, 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    for folder in (authority.directory, authority.public.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_authority_is_made_only_when_it_is_asked_for(tmp_path: Path) -> None:
    absent = SshAuthority(tmp_path / "acces", Passphrases(tmp_path / "acces", generate=True))
    with pytest.raises(AccessError, match="aucune autorité SSH"):
        absent.ensure()
    assert absent.ensure(create=True, check=True) == ["autorité SSH à créer"]
    assert not absent.key.exists()


def test_an_authority_made_meanwhile_is_left_as_it_is(authority: SshAuthority) -> None:
    before = authority.key.read_bytes()
    authority._create_keys()
    assert authority.key.read_bytes() == before


def test_a_lost_list_is_published_again_but_not_in_check_mode(authority: SshAuthority) -> None:
    authority.krl.unlink()
    assert authority.ensure(check=True) == ["liste des certificats SSH révoqués publiée"]
    assert not authority.krl.exists()
    assert authority.ensure() == ["liste des certificats SSH révoqués publiée"]
    assert authority.ensure() == []


def test_what_sshd_is_told_comes_with_the_program_that_it_runs(tmp_path: Path) -> None:
    """A revocation sends sshd's configuration alone: a machine of before kept a program that did not know it, which let
    nobody in, and ended sessions but no connection."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [{"import_role": {"name": "access", "tasks_from": "sshd"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    shell = tmp_path / "lib" / "creatic-session"
    last = "Access | Ensure the program that sshd runs is the one that its configuration knows"
    given = json.dumps({"__access_shell": str(shell), "creatic_home": str(tmp_path)})
    command = ["ansible-playbook", "-i", "localhost,", str(tmp_path / "play.yml"), "--check", "-v", "-e", given]
    done = subprocess.run(
        [*command, "--start-at-task", last],
        cwd=TOP,
        env=os.environ | {"ANSIBLE_ROLES_PATH": str(TOP / "roles"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"{shell}"' in done.stdout and "changed=1" in done.stdout
