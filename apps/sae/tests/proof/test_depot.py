"""Archives copied by lots into a real borg repository, and given back; the gateway's own program at the other end."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from creatic_sauvegarde import borg, cli, lots
from creatic_sauvegarde.settings import BackupError, Settings

from apps.sae.tests.proof.test_commands import Site
from testbed.authority import Authority

pytestmark = pytest.mark.skipif(not Path(borg.BORG).exists(), reason="borg is not on this machine")


class Gateway:
    """A gateway's archives, its depot on the same disk."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site, self.folder = site, folder
        keys, state = folder / "cles", folder / "etat"
        for one in (keys, state):
            one.mkdir()
        (keys / "phrase").write_text("phrase secrète\n")
        program = folder / "sae-copie"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path[:0] = {sys.path!r}\n"
            f"from sae import lots\nsys.exit(lots.main(['--config', {str(site.config)!r}, *sys.argv[1:]]))\n"
        )
        program.chmod(0o755)
        self.config = keys / "config.json"
        self.config.write_text(
            json.dumps(
                {
                    "client": "versement",
                    "depot": str(folder / "depot"),
                    "etat": str(state),
                    "metriques": str(folder),
                    "base": "/",
                    "borgmatic": "/x",
                    "elements": [{"name": "p", "paths": [], "lots": [str(program)]}],
                }
            )
        )
        self.settings = Settings.load(self.config)
        borg.run(self.settings, "init", "--encryption", "repokey-blake2", self.settings.repository)

    def lose(self, aip: str) -> None:
        (self.site.folder / "stockage" / "gondecourt" / "aip" / f"{aip}.tar").unlink()

    def read(self, aip: str) -> bytes:
        with self.site.store.get("gondecourt", "aip", f"{aip}.tar") as stream:
            return stream.read()


@pytest.fixture
def gateway(tmp_path: Path, unit: Path, authority: Authority) -> Gateway:
    (tmp_path / "sae").mkdir()
    return Gateway(tmp_path, Site(tmp_path / "sae", unit, authority.root))


@pytest.mark.costly
def test_archives_are_copied_lost_and_given_back(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """One archive, then the whole room; a backup of the machine beside them is no lot, and lots are no backups."""
    for aip in "abc":
        gateway.site.keep(aip, aip.encode() * 100_000)
    assert lots.make(gateway.settings) == ["3 archives copiées dans le dépôt"]
    gateway.site.keep("d", b"d")
    borg.run(gateway.settings, "create", f"{gateway.settings.repository}::2026-11-27T10:00:00", str(gateway.config))
    assert lots.make(gateway.settings) == ["1 archives copiées dans le dépôt"]
    assert lots.make(gateway.settings) == ["0 archives copiées dans le dépôt"]
    assert len(borg.lots(gateway.settings)) == 2
    assert [one["name"] for one in borg.archives(gateway.settings)] == ["2026-11-27T10:00:00"]

    gateway.lose("b")
    assert cli.main(["--config", str(gateway.config), "reprendre", "gondecourt/b.tar"]) == 0
    assert capsys.readouterr().out == "b : remise au stockage (100000 octets).\n"
    assert gateway.read("b") == b"b" * 100_000

    shutil.rmtree(gateway.site.folder / "stockage")
    told, failed = lots.give_back(gateway.settings, [f"gondecourt/{aip}.tar" for aip in "abcd"] + ["loos/z.tar"])
    assert sorted(line.split()[0] for line in told) == ["a", "b", "c", "d"]
    assert failed == ["loos/z.tar : absente du dépôt"]
    assert [gateway.read(aip) for aip in "abcd"] == [b"a" * 100_000, b"b" * 100_000, b"c" * 100_000, b"d"]


@pytest.mark.costly
def test_what_was_put_in_a_lot_by_another_is_not_put_back(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other bytes, a link, a folder under an archive's name; an older lot has the good one."""
    gateway.site.keep("a", b"octets")
    lots.make(gateway.settings)
    bad = tmp_path / "faux" / "gondecourt"
    bad.mkdir(parents=True)
    (bad / "a.tar").write_bytes(b"autres")
    (bad / "lien.tar").symlink_to("/etc/passwd")
    (bad / "dossier.tar").mkdir()
    borg.run(gateway.settings, "create", f"{gateway.settings.repository}::copie-9", ".", cwd=tmp_path / "faux")
    gateway.lose("a")
    names = [f"gondecourt/{name}.tar" for name in ("lien", "dossier", "a")]
    assert cli.main(["--config", str(gateway.config), "reprendre", *names]) == 1
    told = capsys.readouterr()
    assert told.out == "a : remise au stockage (6 octets).\n"
    assert told.err.splitlines() == [f"creatic-sauvegarde : {name} : absente du dépôt" for name in names[:2]]
    assert gateway.read("a") == b"octets"


@pytest.mark.costly
def test_what_borg_cannot_read_does_not_keep_the_others(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged archive in the middle of a lot, and a lot whose list is damaged."""
    contents = {f"{number:02}": os.urandom(3_000_000) for number in range(6)}
    gateway.site.keep("z", b"z")
    lots.make(gateway.settings)
    for aip, content in contents.items():
        gateway.site.keep(aip, content)
    lots.make(gateway.settings)
    gateway.site.keep("y", b"y")
    lots.make(gateway.settings)
    [damaged] = [
        path
        for path in (gateway.folder / "depot" / "data").rglob("*")
        if path.is_file() and path.stat().st_size > 10_000_000
    ]
    with damaged.open("r+b") as segment:
        segment.seek(damaged.stat().st_size // 2)
        segment.write(b"\0" * 64)
    shutil.rmtree(gateway.site.folder / "stockage")
    last, listing, streamed = borg.lots(gateway.settings)[-1], borg.listing, list[int]()

    def listed(settings: Settings, archive: str) -> Iterator[dict[str, Any]]:
        if archive.endswith(last):
            raise BackupError("le dépôt est abîmé")
        return listing(settings, archive)

    def counted(settings: Settings, program: str, where: str, names: Sequence[str]) -> Any:
        streamed.append(len(names))
        return stream(settings, program, where, names)

    stream = lots._stream_names
    monkeypatch.setattr(borg, "listing", listed)
    monkeypatch.setattr(lots, "_stream_names", counted)
    told, failed = lots.give_back(gateway.settings, [f"gondecourt/{aip}.tar" for aip in [*contents, "y", "z"]])
    back = sorted(line.split()[0] for line in told)
    assert len(back) == 6 and "z" in back
    assert len(failed) == 2 and all("le dépôt est abîmé" in line for line in failed)
    assert f"gondecourt/y.tar : absente du dépôt ({last} n'a pas pu être lu : le dépôt est abîmé)" in failed
    assert all(gateway.read(aip) == contents[aip] for aip in back if aip != "z")
    assert streamed[0] == 6 and len(streamed) <= 8


@pytest.mark.costly
def test_a_depot_that_is_away_is_asked_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for aip in "abc":
        gateway.site.keep(aip)
    lots.make(gateway.settings)
    script = gateway.folder / "borg"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = export-tar ] || exec {borg.BORG} "$@"\n'
        f"echo >> {gateway.folder}/passes\necho Connection timed out >&2\nexit 2\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(borg, "BORG", str(script))
    told, failed = lots.give_back(gateway.settings, [f"gondecourt/{aip}.tar" for aip in "abc"])
    assert told == [] and len(failed) == 3 and "ne répond pas" in failed[0]
    assert (gateway.folder / "passes").read_text() == "\n"


def test_a_program_that_fails_is_told_and_the_depot_stands(gateway: Gateway) -> None:
    gateway.site.write(stockage={"dossier": "/dev/null/rien"})
    gateway.site.keep("a")
    with pytest.raises(BackupError, match="copie des archives : sae-copie : "):
        lots.make(gateway.settings)
    assert borg.lots(gateway.settings) == []
    item = {"name": "p", "paths": []}
    with pytest.raises(BackupError, match="ne copie aucune archive"):
        lots.give_back(Settings(**{**vars(gateway.settings), "items": [item]}), ["x"])


def test_a_run_has_its_time(gateway: Gateway) -> None:
    gateway.site.keep("a")
    assert lots.make(gateway.settings, budget=0) == ["0 archives copiées dans le dépôt"]
