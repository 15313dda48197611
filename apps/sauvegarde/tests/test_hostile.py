"""A backup that whoever took the machine wrote as he liked, put back by a real borg: nothing but what is declared."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from creatic_sauvegarde import cli, contents, restore, snapshot, writing
from creatic_sauvegarde.settings import BackupError, Settings

BORG = "/usr/bin/borg"
pytestmark = [
    pytest.mark.skipif(not shutil.which("borg"), reason="borg is not installed (scripts/bootstrap)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can write such a backup, and put it back"),
]


class Saved:
    """A backup of a tree that a test writes, and the machine that it is put back on."""

    def __init__(self, folder: Path, empty: Path) -> None:
        self.tree, self.root = folder / "arbre", folder / "remis"
        self.base = folder / "machine"  # its roles made nothing there
        for place in (self.tree / "etc/creatic", self.root, folder / "cles", folder / "metriques"):
            place.mkdir(parents=True)
        self.folder = folder
        self.elements: list[dict[str, Any]] = [
            {"name": "machine", "paths": ["/etc/creatic"], "exclude": ["/etc/creatic/sauvegarde"]}
        ]
        (folder / "cles" / "phrase").write_text("essai")
        self._environment = {
            "BORG_BASE_DIR": str(folder / "borg"),
            "BORG_PASSPHRASE": "essai",
            "PATH": "/usr/bin:/bin",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "LC_ALL": "C.UTF-8",
        }
        shutil.copytree(empty, folder / "depot")
        self.write("etc/creatic/bon", "bon")

    def borg(self, *arguments: str) -> None:
        subprocess.run([BORG, *arguments], env=self._environment, cwd=self.tree, check=True, capture_output=True)

    def write(self, name: str, text: str = "piège", mode: int = 0o644) -> Path:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def script(self, code: str) -> None:
        """Write items that no file can give, with borg's own library: `add(path, mode, **more)`."""
        program = f"""
import sys, time
sys.argv[0] = "borg"
from borg import archive, archiver
from borg.item import Item
def process(self, *_given, **_options):
    pass
def save(self, *given, **options):
    def add(path, mode, chunks=(), **more):
        item = Item(path="x", mode=mode, uid=0, gid=0, user="root", group="root", mtime=time.time_ns())
        item._dict["path" if "path" in item._dict else b"path"] = path
        if mode & 0o170000 == 0o100000 and "source" not in more:
            item.chunks = [self.cache.add_chunk(self.key.id_hash(b), b, self.stats) for b in chunks]
        for name, value in more.items():
            setattr(item, name, value)
        self.add_item(item, stats=self.stats)
    {code}
    return saved(self, *given, **options)
saved = archive.Archive.save
archive.Archive.save = save
sys.exit(archiver.main())
"""
        subprocess.run(
            ["/usr/bin/python3", "-I", "-c", program, "create", f"{self.folder}/depot::s", "etc"],
            env=self._environment,
            cwd=self.tree,
            check=True,
            capture_output=True,
        )

    @property
    def settings(self) -> Settings:
        path = self.folder / "cles" / "config.json"
        path.write_text(
            json.dumps(
                {
                    "client": "mairie",
                    "depot": str(self.folder / "depot"),
                    "etat": "/var/lib/creatic-sauvegarde",
                    "metriques": str(self.folder / "metriques"),
                    "base": "/",
                    "borgmatic": "/",
                    "elements": self.elements,
                }
            )
        )
        return Settings.load(path)

    def put_back(self, *paths: str, save: bool = True) -> Mapping[str, Any]:
        """Save all of the tree, or these paths, and put it back; gives what was told, refused things included."""
        if save:
            self.borg("create", str(self.folder / "depot::s"), *(paths or ("etc",)))
        try:
            return restore.perform(self.settings, root=self.root)
        except restore.IncompleteRestoreError as told:
            return told.done

    def there(self) -> set[str]:
        """All that lies below the folder."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return found - {"etc", "etc/creatic", "etc/creatic/bon"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with nothing in it."""
    folder = tmp_path_factory.mktemp("vide")
    environment = {"BORG_BASE_DIR": str(folder / "borg"), "BORG_PASSPHRASE": "essai", "PATH": "/usr/bin:/bin"}
    command = [BORG, "init", "-e", "repokey-blake2", str(folder / "depot")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder / "depot"


@pytest.fixture
def saved(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    made = Saved(tmp_path, empty)
    monkeypatch.setattr(Settings, "environment", lambda _self: made._environment)
    (tmp_path / "etat").mkdir()
    monkeypatch.setattr(contents.Owners, "from_settings", lambda _settings: contents.Owners([made.base]))
    return made


def told(done: Mapping[str, Any]) -> str:
    return "\n".join(done["refuses"]["dits"])


def test_what_is_declared_comes_back_as_it_was(saved: Saved) -> None:
    saved.write("etc/creatic/d/prive", "secret", 0o600)
    saved.write("etc/creatic/d/ouvert", "", 0o664)
    saved.write("etc/creatic/" + os.fsdecode(b"latin-\xe9"), "x")
    (saved.tree / "etc/creatic/d/lien").symlink_to("prive")
    (saved.tree / "etc/creatic/d/haut").symlink_to("../bon")
    os.link(saved.tree / "etc/creatic/d/prive", saved.tree / "etc/creatic/d/pareil")
    os.utime(saved.tree / "etc/creatic/d", (1_000_000_000, 1_000_000_000))
    (saved.tree / "etc/creatic/d").chmod(0o500)
    done = saved.put_back()
    assert (done["refuses"]["nombre"], done["fichiers"]) == (0, 5)
    where = saved.root / "etc/creatic"
    assert (where / "d/prive").read_text() == (where / "d/pareil").read_text() == "secret"
    assert (where / "d/prive").stat().st_ino == (where / "d/pareil").stat().st_ino
    assert stat.S_IMODE((where / "d/prive").stat().st_mode) == 0o600
    assert stat.S_IMODE((where / "d/ouvert").stat().st_mode) == 0o664
    assert stat.S_IMODE((where / "d").stat().st_mode) == 0o500
    assert (where / "d").stat().st_mtime == 1_000_000_000
    assert [str((where / "d" / name).readlink()) for name in ("lien", "haut")] == ["prive", "../bon"]
    assert os.fsencode(where / os.fsdecode(b"latin-\xe9")).endswith(b"\xe9")


def test_all_of_a_folder_comes_back_and_the_folder_is_no_stranger(saved: Saved) -> None:
    """As the control node saves itself: borg's tar begins with the folder, its list does not judge it."""
    saved.elements = [{"name": "poste-de-commande", "paths": ["."]}]
    saved.write("pki/registre", "un")
    done = saved.put_back(".")
    assert done["refuses"] == {"nombre": 0, "dits": []}
    assert saved.there() == {"pki", "pki/registre"}


def test_what_is_not_declared_does_not_come_back(saved: Saved) -> None:
    for name in (
        "etc/sudoers.d/x",
        "root/.ssh/authorized_keys",
        "etc/creatic-autre/x",
        "etc/creatic/sauvegarde/cle",
        "etc/cron.d/x",
        "usr/bin/creatic-sauvegarde",
    ):
        saved.write(name)
    done = saved.put_back("etc", "root", "usr")
    assert saved.there() == set()
    assert (saved.root / "etc/creatic/bon").read_text() == "bon"
    assert "refusé : /etc/sudoers.d/x : hors de ce qui est déclaré" in told(done)
    assert "refusé : /etc/creatic/sauvegarde/cle : déclaré comme laissé de côté" in told(done)
    assert done["refuses"]["nombre"] >= 6


def test_no_privilege_comes_back(saved: Saved) -> None:
    saved.write("etc/creatic/setuid", mode=0o4755)
    saved.write("etc/creatic/setgid", mode=0o2755)
    first = saved.write("etc/creatic/premier", mode=0o4755)
    os.link(first, saved.tree / "etc/creatic/second")
    os.mknod(saved.tree / "etc/creatic/nul", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(saved.tree / "etc/creatic/disque", 0o666 | stat.S_IFBLK, os.makedev(8, 0))
    os.mkfifo(saved.tree / "etc/creatic/tube")
    (saved.tree / "etc/creatic/groupe").mkdir()
    (saved.tree / "etc/creatic/groupe").chmod(0o2777)
    os.chown(saved.write("etc/creatic/autre"), 1234, 0)
    os.chown(saved.write("etc/creatic/groupe-autre"), 0, 4321)
    able = saved.write("etc/creatic/capable")
    os.setxattr(able, "security.capability", bytes.fromhex("0100000202000000000000000000000000000000"))
    os.setxattr(saved.write("etc/creatic/note", "note"), "user.note", b"1")
    done = saved.put_back()
    assert saved.there() == {"etc/creatic/note"}
    assert os.listxattr(saved.root / "etc/creatic/note") == []
    for line in ("/etc/creatic/setuid : fichier setuid ou setgid", "/etc/creatic/nul : périphérique",
                 "/etc/creatic/disque : périphérique", "/etc/creatic/tube : tube (FIFO)",
                 "/etc/creatic/groupe : dossier setuid, ou setgid de root",
                 "/etc/creatic/autre : propriétaire inattendu : 1234:root",
                 "/etc/creatic/groupe-autre : propriétaire inattendu : root:4321",
                 "/etc/creatic/capable : fichier à privilège : attribut security.capability",
                 "/etc/creatic/note : remis sans ses attributs étendus : user.note"):  # fmt: skip # a list of words
        assert f"refusé : {line}" in told(done)
    assert "2 × périphérique" in told(done)


OUT = (
    "/etc/shadow", "../shadow", "../../etc/sudoers.d", "d/../../x", "d/../bon", "/etc/creatic/../shadow", "sauvegarde",
    "/etc/creatic/sauvegarde", "sauvegarde/cle", "..", "/", "../creatic-autre", "/etc/creatic-autre", "/proc/self/root",
)  # fmt: skip # a list of words


def test_a_link_that_leads_out_does_not_come_back(saved: Saved) -> None:
    for number, target in enumerate(OUT):
        (saved.tree / f"etc/creatic/lien{number}").symlink_to(target)
    done = saved.put_back()
    assert saved.there() == set()
    for number, target in enumerate(OUT):
        assert f"/etc/creatic/lien{number} : lien qui mène hors de ce qui est déclaré : {target}\n" in told(done)


def test_a_link_that_leads_out_through_another_does_not_come_back(saved: Saved) -> None:
    """Each of them stays inside to who reads it; what is left aside is out as well."""
    (saved.root / "etc/creatic").mkdir(parents=True)
    (saved.root / "etc/creatic/ici").symlink_to("../secret")  # the machine's own
    saved.write("etc/creatic/d/x", "x")
    links = {
        "dot": ".",
        "d/haut": "..",
        "vole": "dot/sauvegarde/cle",
        "vole2": "dot/d/haut/dot/sauvegarde",
        "vole3": "vole2/cle",
        "pris": "ici/mot",
        "tourne": "retourne",
        "retourne": "tourne",
        "bien": "dot/d/haut/bon",
    }
    for name, target in links.items():
        (saved.tree / "etc/creatic" / name).symlink_to(target)
    done = saved.put_back()
    there = {path.name for path in (saved.root / "etc/creatic").rglob("*") if path.is_symlink()}
    assert there == {"ici", "dot", "haut", "bien"}
    assert (saved.root / "etc/creatic/bien").read_text() == "bon"
    assert "6 × lien qui mène hors de ce qui est déclaré, par un autre" in told(done)
    assert done["refuses"]["nombre"] == 6, told(done)


def test_links_of_a_whole_machine_may_be_absolute(tmp_path: Path) -> None:
    settings = Settings("m", "d", [{"paths": ["/etc/creatic"]}], tmp_path, Path("/var/lib/x"), tmp_path)
    judged = contents.Contents(settings, Path("/"))
    assert judged._stays_inside("etc/creatic/a", "/etc/creatic/b")
    assert not judged._stays_inside("etc/creatic/a", "/etc/passwd")
    assert not contents.Contents(settings, tmp_path)._stays_inside("etc/creatic/a", "/etc/creatic/b")


FILE, FOLDER, LINK = "0o100644", "0o40755", "0o120777"


ITEMS = (
    (f"'../evade', {FILE}, [b'x']", "/../evade : nom qui n'en est pas un"),
    (f"'/etc/creatic/absolu', {FILE}, [b'x']", "//etc/creatic/absolu : nom qui n'en est pas un"),
    (f"'etc/creatic/../evade', {FILE}, [b'x']", "/etc/creatic/../evade : nom qui n'en est pas un"),
    (f"'etc/creatic/./x', {FILE}, [b'x']", "/etc/creatic/./x : nom qui n'en est pas un"),
    (f"'etc/creatic//x', {FILE}, [b'x']", "/etc/creatic//x : nom qui n'en est pas un"),
    (f"'etc/creatic/' + 'b' * 256, {FILE}, [b'x']", "bbb… : nom qui n'en est pas un"),
    (f"'etc/creatic/ligne\\nfausse', {FILE}, source='etc/shadow'", "/etc/creatic/ligne\\u000afausse : lien dur vers"),
    (f"'etc/creatic/' + 'c/' * 200 + 'x', {FILE}, [b'x']", "/c/… : nom qui n'en est pas un"),
    (f"'etc/creatic/bon', {FILE}, [b'x']", "/etc/creatic/bon : deux fois dans la sauvegarde"),
    (f"'etc/creatic/bon/x', {FILE}, [b'x']", "/etc/creatic/bon/x : sous un élément qui n'est pas un dossier remis"),
    (f"'etc/creatic/sort', {LINK}, source='/etc'", "/etc/creatic/sort : lien qui mène hors de"),
    (f"'etc/creatic/sort/x', {FILE}, [b'x']", "/etc/creatic/sort/x : sous un élément qui n'est pas"),
    (f"'etc/creatic/vide', {LINK}, source=''", "/etc/creatic/vide : lien qui mène hors de"),
    (f"'etc/creatic/nul', {LINK}, source='bon\\0'", "/etc/creatic/nul : lien qui mène hors de"),
    (f"'etc/creatic/long', {LINK}, source='./' * 3000 + 'bon'", "/etc/creatic/long : lien qui mène hors de"),
    (f"'etc/creatic/reste', {LINK}, source='bon'", ""),
    (f"'etc/creatic/reste/x', {FILE}, [b'x']", "/etc/creatic/reste/x : sous un élément qui n'est pas"),
    (f"'etc/creatic/d', {FOLDER}", ""),
    (f"'etc/creatic/d', {LINK}, source='/tmp'", "/etc/creatic/d : deux fois dans la sauvegarde"),
    (f"'etc/creatic', {LINK}, source='/tmp'", "/etc/creatic : deux fois dans la sauvegarde"),
    (f"'etc', {LINK}, source='/tmp'", "/etc : hors de ce qui est déclaré"),
    (f"'etc/creatic/h1', {FILE}, source='etc/shadow'", "/etc/creatic/h1 : lien dur vers ce qui n'est pas remis : etc/"),
    (f"'etc/creatic/h2', {FILE}, source='/etc/shadow'", "/etc/creatic/h2 : lien dur vers ce qui n'est pas remis"),
    (f"'etc/creatic/h3', {FILE}, source='etc/creatic'", "/etc/creatic/h3 : lien dur vers ce qui n'est pas remis"),
    (f"'etc/creatic/h4', {FILE}, source='etc/creatic/reste'", "/etc/creatic/h4 : lien dur vers ce qui n'est pas remis"),
    (f"'etc/creatic/h5', {FILE}, source='etc/creatic/bon'", ""),
    (f"'etc/creatic/t1', {FILE}, [b'x'], mtime=10**30", "/etc/creatic/t1 : remis sans sa date"),
    (f"'etc/creatic/t2', {FOLDER}, mtime=2**63 - 1", ""),
    (f"'etc/creatic/t3', {LINK}, source='bon', mtime=-10**19", "/etc/creatic/t3 : remis sans sa date"),
    (f"'etc/creatic/t4', {FOLDER}, mtime=2**65", "/etc/creatic/t4 : remis sans sa date"),
    ("'etc/creatic/s', 0o140777", "/etc/creatic/s : socket"),
    (f"'etc/creatic/u1', {FILE}, [b'x'], user='personne-ici'", "/etc/creatic/u1 : propriétaire inconnu sur"),
    (f"'etc/creatic/u2', {FILE}, [b'x'], user=None, uid=1234", "/etc/creatic/u2 : propriétaire inattendu : 1234:root"),
    (f"'etc/creatic/u3', {FILE}, [b'x'], group=None, gid=1234", "/etc/creatic/u3 : propriétaire inattendu : root:1234"),
)


def test_what_no_honest_borg_writes(saved: Saved) -> None:
    saved.script("; ".join(f"add({code})" for code, _reason in ITEMS))
    done = saved.put_back(save=False)
    for _code, reason in ITEMS:
        assert reason in told(done), told(done)
    assert done["refuses"]["nombre"] == sum(bool(reason) for _code, reason in ITEMS)
    odd = {f"etc/creatic/t{rank}" for rank in range(1, 5)}
    assert saved.there() == {"etc/creatic/reste", "etc/creatic/d", "etc/creatic/h5", *odd}
    assert (saved.root / "etc/creatic/bon").read_text() == "bon"
    assert not (saved.root.parent / "evade").exists()


def test_a_name_obeys_nobody_s_terminal(saved: Saved) -> None:
    saved.write("etc/x\x1b[2J\nfaux\u202e", "x")
    done = saved.put_back()
    assert "refusé : /etc/x\\u001b[2J\\u000afaux\\u202e : hors" in told(done)


def test_many_refusals_are_counted(saved: Saved) -> None:
    for number in range(120):
        saved.write(f"etc/x{number}")
    done = saved.put_back()
    assert done["refuses"]["nombre"] == 120
    assert "… et 70 autres" in told(done) and "120 × hors de ce qui est déclaré" in told(done)


def test_more_than_the_disk_holds_changes_nothing(saved: Saved) -> None:
    with (saved.tree / "etc/creatic/bombe").open("wb") as stream:
        stream.truncate(20_000_000)
    state = os.statvfs(saved.root)
    small = SimpleVfs(state, 510_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents.os, "statvfs", lambda _place: small)
        with pytest.raises(BackupError, match=r"rien n'est remis, donnez-lui plus de place"):
            saved.put_back()
    assert list(saved.root.iterdir()) == []
    assert saved.put_back(save=False)["fichiers"] == 2  # what is sparse is still a file


class SimpleVfs:
    """A disk with that many bytes free."""

    def __init__(self, real: os.statvfs_result, free: int) -> None:
        self.f_bavail, self.f_frsize, self.f_files, self.f_favail = free, 1, real.f_files, real.f_favail


@pytest.mark.costly
def test_a_refused_bomb_is_not_even_sent(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etc/bombe", "etc/creatic/bombe"):
        with (saved.tree / name).open("wb") as stream:
            stream.truncate(30_000_000)
        (saved.tree / name).chmod(0o4755)
    seen: list[str] = []
    real = writing.put

    def put(judged: contents.Contents, tar: Any, *given: Any) -> None:
        taken = tar.next

        def following() -> Any:
            member = taken()
            seen.append(member.name if member else "")
            return member

        tar.next = following
        real(judged, tar, *given)

    monkeypatch.setattr(writing, "put", put)
    done = saved.put_back()
    assert done["refuses"]["nombre"] == 2
    assert seen == ["etc/creatic", "etc/creatic/bon", ""]
    monkeypatch.setattr(contents, "MAX_ITEMS", 2)
    assert done["fichiers"] == 1
    with pytest.raises(BackupError, match="plus de 2 éléments : rien n'est remis"):
        saved.put_back(save=False)


@pytest.mark.costly
def test_what_is_in_the_way_on_the_machine_is_not_followed(saved: Saved, tmp_path: Path) -> None:
    outside = tmp_path / "dehors"
    outside.mkdir()
    (outside / "bon").write_text("dehors")
    saved.write("etc/creatic/d/x", "x")
    (saved.root / "etc/creatic").mkdir(parents=True)
    (saved.root / "etc/creatic/d").symlink_to(outside)
    (saved.root / "etc/creatic/bon").symlink_to(outside / "bon")
    assert saved.put_back()["refuses"]["nombre"] == 0
    assert (outside / "bon").read_text() == "dehors" and not (outside / "x").exists()
    assert not (saved.root / "etc/creatic/d").is_symlink()
    shutil.rmtree(saved.root / "etc")
    (saved.root / "etc").symlink_to(outside)
    done = saved.put_back(save=False)
    assert "à sa place sur cette machine" in told(done)
    assert (outside / "bon").read_text() == "dehors" and not (outside / "creatic").exists()


@pytest.mark.costly
def test_the_command_says_it_and_does_not_call_it_a_success(saved: Saved, capsys: pytest.CaptureFixture[str]) -> None:
    saved.write("etc/sudoers.d/x")
    saved.borg("create", str(saved.folder / "depot::s"), "etc")
    saved.settings  # noqa: B018 - writes it
    config = str(saved.folder / "cles" / "config.json")
    (saved.folder / "etat").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.backup, "lock_backup", lambda _settings: nullcontext())
        assert (
            cli.main(["--config", config, "restaurer", "--json", "--dans", str(saved.root)])
            == cli.PARTIAL_RESTORE_STATUS
        )
    out, err = capsys.readouterr()
    assert json.loads(out)["refuses"]["nombre"] == 2
    assert "refusé : /etc/sudoers.d/x : hors de ce qui est déclaré" in err
    assert err.splitlines()[-1].startswith(
        "creatic-sauvegarde : 2 éléments sont refusés dans la sauvegarde s, le reste"
    )
    assert (saved.root / "etc/creatic/bon").read_text() == "bon"


COPY = "var/lib/creatic-sauvegarde/instantanes/0/base.sqlite"
GOOD = {"origine": "/srv/base.sqlite", "copie": f"/{COPY}", "proprietaire": "root", "groupe": "root", "mode": "0640"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"mode": "6777"}, ""),
        ({"origine": "/etc/sudoers.d/x"}, "/etc/sudoers.d/x : base de données, qui n'est pas déclarée"),
        ({"origine": "/srv/../etc/base.sqlite"}, "base de données, qui n'est pas déclarée"),
        ({"copie": "/etc/shadow"}, "dont la copie n'est pas parmi les copies"),
        ({"copie": f"/{COPY.replace('0/', '../')}"}, "dont la copie n'est pas parmi les copies"),
        ({"copie": "/var/lib/creatic-sauvegarde/instantanes/1/base.sqlite"}, "copie illisible"),
        ({"mode": None}, "copie illisible"),
        ({"bases": ["passerelle"], "jeu": "x"}, "base de données, qui n'est pas déclarée : passerelle"),
    ],
)
def test_the_list_of_copies_names_declared_databases_alone(saved: Saved, change: dict[str, Any], reason: str) -> None:
    saved.elements.append({"name": "base", "paths": [], "sqlite": ["/srv/*.sqlite"]})
    copy = saved.root / COPY
    copy.parent.mkdir(parents=True)
    copy.write_text("base")
    (copy.parent.parent / "1").symlink_to("0")
    (copy.parent.parent / snapshot.MANIFEST).write_text(json.dumps([GOOD | change]))
    refusals = contents.Refusals()
    done = snapshot.put_back(saved.settings, saved.root, refusals)
    if reason:
        assert done == []
        assert reason in "\n".join(refusals.lines())
        assert not (saved.root / "etc").exists() and not (saved.root / "srv").exists()
    else:
        assert (done, refusals.count) == (["/srv/base.sqlite"], 0)
        there = saved.root / "srv" / "base.sqlite"
        assert there.read_text() == "base"
        assert there.stat().st_mode & 0o7000 == 0


def test_a_database_is_not_written_through_a_link(saved: Saved, tmp_path: Path) -> None:
    saved.elements.append({"name": "base", "paths": [], "sqlite": ["/srv/*.sqlite"]})
    outside = tmp_path / "dehors"
    outside.mkdir()
    (saved.root / "srv").symlink_to(outside)
    copy = saved.root / COPY
    copy.parent.mkdir(parents=True)
    copy.write_text("base")
    (copy.parent.parent / snapshot.MANIFEST).write_text(json.dumps([GOOD]))
    refusals = contents.Refusals()
    assert snapshot.put_back(saved.settings, saved.root, refusals) == []
    assert refusals.count == 1 and list(outside.iterdir()) == []
    for bad in ("{", '"x"', "[1]", "[" * 100_000):
        (copy.parent.parent / snapshot.MANIFEST).write_text(bad)
        with pytest.raises(BackupError, match="la liste des copies de bases de la sauvegarde ne se lit pas"):
            snapshot.put_back(saved.settings, saved.root)


@pytest.mark.costly
def test_the_key_of_pgbackrest_is_a_key_and_nothing_else(saved: Saved) -> None:
    saved.elements.append({"name": "postgresql", "paths": ["/etc/pgbackrest/conf.d/cle.conf", "/var/lib/pgbackrest"]})
    key = saved.write("etc/pgbackrest/conf.d/cle.conf", f"[global]\nrepo1-cipher-pass={'a1' * 32}\n")
    saved.write("etc/pgbackrest/pgbackrest.conf", "[global]\nrepo1-host-cmd=/tmp/x\n")
    done = saved.put_back()
    assert (saved.root / "etc/pgbackrest/conf.d/cle.conf").read_text() == key.read_text()
    assert not (saved.root / "etc/pgbackrest/pgbackrest.conf").exists()
    assert done["refuses"]["nombre"] == 1
    shutil.rmtree(saved.root / "etc")
    saved.borg("delete", str(saved.folder / "depot::s"))
    key.write_text(f"[global]\nrepo1-cipher-pass={'a1' * 32}\ncmd-ssh=/tmp/x\n")
    done = saved.put_back()
    assert "/etc/pgbackrest/conf.d/cle.conf : ce contenu n'est pas celui qui est attendu là" in told(done)
    assert not (saved.root / "etc/pgbackrest/conf.d/cle.conf").exists()
