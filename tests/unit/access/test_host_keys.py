"""A folder of host keys as they came: each goes to its machine, and what may not be believed is refused and named."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from creatic.check import host_keys
from creatic.check.host_keys import HostKeyError, Machine

GED, PC = Machine("ged1", "10.9.0.40", names=("ged.example.org",)), Machine("loos-pc", "10.9.1.10")
LINKED = Machine("loos-connecteur", "10.9.1.20", 2222)
KNOWN = [GED, PC, LINKED]
NOW = datetime.now(tz=UTC)


def keygen(*arguments: str | Path) -> str:
    return subprocess.run(["ssh-keygen", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def make(path: Path, kind: str = "ed25519", *more: str) -> Path:
    """A key pair, of which the public half is given."""
    keygen("-q", "-t", kind, *more, "-N", "", "-C", "root@debian", "-f", path)
    return path.with_name(path.name + ".pub")


class Folder:
    """What came, the keys' other halves elsewhere, and known_hosts."""

    def __init__(self, top: Path) -> None:
        self.keys, self.came, self.file = top / "keys", top / "came", top / "ssh" / "known_hosts"
        for one in (self.keys, self.came, self.file.parent):
            one.mkdir()

    def key(self, name: str = "one", kind: str = "ed25519", *more: str) -> str:
        """The line of a new key's public half, of the same name the same."""
        path = self.keys / name
        return (make(path, kind, *more) if not path.exists() else path.with_name(f"{name}.pub")).read_text()

    def put(self, name: str, text: str) -> None:
        (self.came / name).parent.mkdir(exist_ok=True)
        (self.came / name).write_text(text, encoding="utf-8")

    def certificate(self, name: str, *options: str, signer: str = "ca", host: bool = True) -> str:
        self.key(signer), self.key(name)
        keygen(
            "-q", "-s", self.keys / signer, "-I", name, *(["-h"] if host else []), *options, self.keys / f"{name}.pub"
        )
        return (self.keys / f"{name}-cert.pub").read_text()

    def plan(self, signed: bool = False, now: datetime = NOW) -> host_keys.Plan:
        self.key("ca")
        signer = host_keys.authority(self.keys / "ca.pub") if signed else b""
        return host_keys.plan(self.came, KNOWN, self.file, signer, now)

    def found(self, entry: str) -> list[str]:
        """What OpenSSH finds of a machine in known_hosts."""
        done = subprocess.run(["ssh-keygen", "-F", entry, "-f", self.file], capture_output=True, text=True, check=False)
        return [" ".join(line.split()[1:3]) for line in done.stdout.splitlines() if not line.startswith("#")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    "place",
    ["ged1.pub", "GED1", "ged1_ssh_host_ed25519_key.pub", "ged1/ssh_host_ed25519_key.pub", "ged.example.org.txt"],
)
def test_a_key_goes_to_the_machine_that_names_its_file_or_folder(folder: Folder, place: str) -> None:
    folder.file.write_text("# kept\n10.9.9.9 ssh-ed25519 AAAA", encoding="utf-8")  # no end of line
    folder.put(place, folder.key())
    made = folder.plan()
    assert [*made.writes] == [GED] and made.lacking == [PC, LINKED] and made.left == []
    assert keygen("-lf", folder.keys / "one.pub").split()[1] in made.lines()[0]
    assert folder.found("10.9.0.40") == []  # shown alone
    host_keys.carry_out(made, folder.file)
    assert folder.found("10.9.0.40") == [" ".join(folder.key().split()[:2])]
    assert folder.file.read_text(encoding="utf-8").startswith("# kept\n10.9.9.9 ssh-ed25519 AAAA\n10.9.0.40 ")
    assert folder.file.stat().st_mode & 0o777 == 0o600
    again = folder.plan()
    assert not again.writes and again.kept == [GED]


def test_lines_as_in_known_hosts_name_their_machines(folder: Folder) -> None:
    lines = [f"loos-pc,10.9.1.10 {folder.key('one')}", f"# {LINKED.entry}\n[10.9.1.20]:2222 {folder.key('two')}"]
    folder.put("tout.txt", "\n".join(lines))
    made = folder.plan()
    assert {*made.writes} == {PC, LINKED} and made.left == []
    host_keys.carry_out(made, folder.file)
    assert folder.found("[10.9.1.20]:2222") == [" ".join(folder.key("two").split()[:2])]


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("inconnu.pub", "{one}", "rien ne dit de quelle machine c'est"),
        ("tout", "10.9.7.7 {one}", "l'inventaire n'a aucune machine « 10.9.7.7 »"),
        ("ged1.pub", "loos-pc {one}", "nomment plusieurs machines (ged1, loos-pc)"),
        ("tout", "* {one}", "ne nomme pas une machine"),
        ("tout", "@cert-authority loos-pc {one}", "ne nomme pas une machine"),
        ("ged1.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIabc", "ssh-ed25519 : ce n'est pas une clé qui se lise"),
        ("ged1.pub", "ged1", "ce n'est pas une clé qui se lise"),
        ("ged1", "-----BEGIN OPENSSH PRIVATE KEY-----", "c'est une clé privée"),
        ("ged1.pub", "{rsa}", "pas de clé Ed25519 (ged1.pub)"),
        ("ged1.pub", "{one}\n{two}", "deux clés différentes sont données"),
    ],
)
def test_what_cannot_be_believed_is_told_and_keeps_no_other(folder: Folder, name: str, line: str, told: str) -> None:
    rsa = folder.key("rsa", "rsa", "-b", "2048")
    folder.put(name, line.format(one=folder.key("one"), two=folder.key("two"), rsa=rsa))
    folder.put("loos-connecteur.pub", folder.key("three"))
    made = folder.plan()
    assert [*made.writes] == [LINKED]
    assert len(made.left) == 1 and told in made.left[0] and "À faire : " in made.left[0]


def test_other_kinds_beside_the_one_that_is_kept_are_no_fault(folder: Folder) -> None:
    for kind in ("rsa", "ecdsa", "ed25519"):
        folder.put(f"loos-pc/ssh_host_{kind}_key.pub", folder.key(kind, kind))
    made = folder.plan()
    assert [*made.writes] == [PC] and made.left == []


@pytest.mark.parametrize("before", [False, True], ids=["in the folder", "in known_hosts"])
def test_two_machines_of_one_key_are_refused(folder: Folder, before: bool) -> None:
    folder.put("ged1.pub", folder.key())
    if before:
        folder.file.write_text(f"10.9.1.10 {folder.key()}", encoding="utf-8")
    else:
        folder.put("loos-pc.pub", folder.key())
    made = folder.plan()
    assert not made.writes and "ged1 : sa clé est aussi celle de loos-pc" in made.left[0]
    assert len(made.left) == (1 if before else 2)


@pytest.mark.parametrize(
    ("known", "told"), [("10.9.0.40 {two}", "a une autre clé d'elle"), ("@revoked * {one}", "sa clé est révoquée")]
)
@pytest.mark.parametrize("hashed", [False, True])
def test_a_key_is_never_put_in_the_place_of_another(folder: Folder, known: str, told: str, hashed: bool) -> None:
    folder.put("ged1.pub", folder.key())
    folder.file.write_text(known.format(one=folder.key(), two=folder.key("two")), encoding="utf-8")
    if hashed:
        keygen("-H", "-f", folder.file)
    made = folder.plan()
    assert not made.writes and told in made.left[0]


def test_a_box_whose_address_changed_is_known_under_the_new_one(folder: Folder) -> None:
    """By the same file; the line of the old address is nobody's any more."""
    folder.file.write_text(f"192.0.2.7 {folder.key()}", encoding="utf-8")
    folder.put("loos-pc.pub", folder.key())
    host_keys.carry_out(folder.plan(), folder.file)
    assert folder.found("10.9.1.10") == folder.found("192.0.2.7") != []


def test_a_certificate_says_its_machine_and_its_key_is_kept(folder: Folder) -> None:
    """Whatever its file's name: it may come from the network."""
    folder.put("x", folder.certificate("one", "-n", "loos-pc", "-V", "-1d:+1d"))
    made = folder.plan(signed=True)
    assert [*made.writes] == [PC] and made.left == []
    host_keys.carry_out(made, folder.file)
    assert folder.found("10.9.1.10") == [" ".join(folder.key("one").split()[:2])]
    assert "c'est un certificat d'hôte" in folder.plan().left[0]


@pytest.mark.parametrize(
    ("options", "signer", "host", "told"),
    [
        (("-n", "loos-pc"), "other", True, "d'une autre autorité"),
        (("-n", "loos-pc"), "ca", False, "le certificat d'une personne"),
        (("-n", "loos-pc", "-V", "-2d:-1d"), "ca", True, "n'est pas en vigueur"),
        (("-n", "loos-pc", "-V", "+1d:+2d"), "ca", True, "n'est pas en vigueur"),
        ((), "ca", True, "vaut pour toute machine"),
        (("-n", "loos-pc,ged1"), "ca", True, "et une seule"),
        (("-n", "ailleurs"), "ca", True, "vaut pour ailleurs"),
    ],
)
def test_a_certificate_that_does_not_count_is_refused(
    folder: Folder, options: tuple[str, ...], signer: str, host: bool, told: str
) -> None:
    folder.put("loos-pc.pub", folder.certificate("one", *options, signer=signer, host=host))
    made = folder.plan(signed=True)
    assert not made.writes and told in made.left[0]


def test_a_changed_certificate_is_refused(folder: Folder) -> None:
    kind, body, *_comment = folder.certificate("one", "-n", "loos-pc").split()
    folder.put("x.pub", f"{kind} {body[:-10]}{'A' if body[-10] != 'A' else 'B'}{body[-9:]}")
    assert "la signature du certificat est fausse" in folder.plan(signed=True).left[0]
    assert not folder.plan(signed=True, now=NOW + timedelta(days=1)).writes


@pytest.mark.parametrize("name", ["nulle-part", "came"])
def test_a_folder_of_nothing_and_an_authority_that_is_none_are_told(folder: Folder, name: str) -> None:
    with pytest.raises(HostKeyError, match="À faire : donnez le dossier"):
        host_keys.plan(folder.came.parent / name, KNOWN, folder.file, b"", NOW)
    with pytest.raises(HostKeyError, match="n'est pas la clé publique d'une autorité SSH"):
        host_keys.authority(folder.came)


def test_machines_are_those_that_ssh_reaches() -> None:
    hosts = {
        "ged1": {"ansible_host": "10.9.0.40", "creatic_names": ["ged.example.org"]},
        "loos-connecteur": {"ansible_host": "10.9.1.20", "ansible_port": "2222"},
        "poste": {"ansible_connection": "local"},
        "loos-pc2": {"creatic_poste": {"systeme": "windows"}},
    }
    assert host_keys.machines({"_meta": {"hostvars": hosts}}) == [GED, LINKED]
