"""Acts that their description declares not to be transmitted (CGCT, L2131-2): nothing of them reaches the TdT."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from tdt_connector import archive, cli, sip
from tdt_connector.config import ConfigError, load
from tdt_connector.description import DescriptionError, parse
from tdt_connector.drivers import DRIVERS
from tdt_connector.journal import State
from tdt_simulator.testing import TdtServer

from testbed.connector import Commune

STAYS = {"transmission": "non", "nature": "2", "classification": '"6.1"', "type": ""}


def sent(tdt: TdtServer) -> list[Any]:
    """What the TdT was given."""
    return list(tdt.acts())


def test_it_is_kept_for_the_archive_and_never_leaves(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("AR 12 bis", stem="parking", **STAYS)  # a number that the préfecture would not take
    commune.run()
    [row] = commune.rows()
    assert (row.state, row.number, row.filed) == (State.KEPT, "AR 12 bis", True)
    [kept] = commune.folder("conserves")
    assert kept.name == f"NT-{row.ref}"
    assert sent(tdt) == [] and commune.folder("depot") == [] and commune.folder("en_cours") == []
    motive = (kept / "motif.txt").read_text()
    assert motive.startswith("Conservé sans être transmis le ") and "(CGCT, L2131-2)" in motive
    assert "Rien n'a été transmis, et rien ne le sera" in motive
    assert json.loads((kept / "resume.json").read_text())["etat"] == "conserve"
    assert archive.unarchived(commune.config) == [kept]
    package = io.BytesIO()
    sip.build(kept, commune.config.siren, sip.Terms("SAE", "ACTES-10", "Keep"), package)
    told = package.getvalue()
    assert b"Acte non transmissible (CGCT, L2131-2)" in told and b"Classification 6.1, nature 2" in told
    assert b"parking.pdf" in told and b"motif.txt" not in told and b"parking.yml" not in told


def test_it_needs_no_nomenclature_and_no_tdt(commune: Commune, tdt: TdtServer) -> None:
    tdt.stop()
    commune.drop("2026_5", **STAYS)
    commune.run(until=lambda: any(row.filed for row in commune.rows()))
    assert [row.state for row in commune.rows()] == [State.KEPT]


def test_its_number_is_taken(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_5", **STAYS)
    commune.run()
    commune.drop("2026_5", stem="autre", transmission="oui")
    commune.run()
    assert sorted(row.state for row in commune.rows()) == [State.KEPT, State.REJECTED]
    [motive] = (commune.root / "rejets").glob("*/motif.txt")
    assert "(conservé sans être transmis)" in motive.read_text()
    assert sent(tdt) == []


@pytest.mark.parametrize("step", ["avant conservation", "résumé", "classé"])
def test_killed_anywhere_it_is_kept_once(commune: Commune, tdt: TdtServer, step: str) -> None:
    commune.drop("2026_5", **STAYS)
    assert commune.crash(step)
    commune.run()
    assert [(row.state, row.filed) for row in commune.rows()] == [(State.KEPT, True)]
    assert len(commune.folder("conserves")) == 1 and sent(tdt) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transmission": "peut-être"}, "« peut-être » n'est ni oui ni non"),
        ({"objet": ""}, "indiquez l'objet de l'acte, en 499 caractères"),
        ({"date": "2999-01-01"}, "est dans le futur"),
        ({"nature": "5"}, "un budget se transmet toujours"),
        ({"genre": "pes"}, "un flux comptable n'est pas un acte"),
        ({"pdf": b"<html>"}, "n'est pas un PDF"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_leaves(
    commune: Commune, tdt: TdtServer, change: dict[str, Any], words: str
) -> None:
    commune.drop("2026_5", **(STAYS | change))
    commune.run()
    [motive] = (commune.root / "rejets").glob("*/motif.txt")
    assert words in motive.read_text()
    assert (commune.folder("conserves"), sent(tdt)) == ([], [])


def test_a_matter_that_the_groupement_names_leaves_only_when_it_is_said(commune: Commune, tdt: TdtServer) -> None:
    commune.config = replace(commune.config, matieres_a_dire=("6.1", "7"))
    commune.drop("2026_1", classification='"7.5"')
    commune.run()
    [motive] = (commune.root / "rejets").glob("*/motif.txt")
    assert "en matière 7.5 (liste du groupement : 7)" in motive.read_text() and sent(tdt) == []
    commune.drop("2026_1", classification='"7.5"', transmission="oui")
    commune.drop("2026_2", classification='"5.2"')
    commune.run()
    assert len(sent(tdt)) == 2


def test_matters_are_read_from_the_configuration(commune: Commune) -> None:
    path = commune.write_config(commune.root / "config.yml")
    text = path.read_text()
    assert load(path, DRIVERS).matieres_a_dire == ()
    path.write_text(f'{text}matieres_a_dire: ["6.1", "4"]\n')
    assert load(path, DRIVERS).matieres_a_dire == ("6.1", "4")
    for wrong in ('"6.1"', "[6.1]", '["6."]', '["police"]'):
        path.write_text(f"{text}matieres_a_dire: {wrong}\n")
        with pytest.raises(ConfigError, match="liste de matières"):
            load(path, DRIVERS)


def test_the_command_checks_it_as_the_service_does(commune: Commune, capsys: pytest.CaptureFixture[str]) -> None:
    path = commune.write_config(commune.root / "config.yml")
    folder = commune.root / "ailleurs"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"<html>")
    (folder / "a.yml").write_text("numero: AR 1\nobjet: Parking\ndate: 2026-01-15\ntransmission: non\n")
    assert cli.main(["--config", str(path), "send", str(folder / "a.pdf")]) == 1
    assert "n'est pas un PDF" in capsys.readouterr().err


def test_a_description_says_yes_no_or_nothing() -> None:
    assert [parse(f"numero: 1\ntransmission: {said}\n".encode()).transmission for said in ("oui", "Non", '""')] == [
        "oui",
        "non",
        "",
    ]
    with pytest.raises(DescriptionError, match="n'est ni oui ni non"):
        parse(b"numero: 1\ntransmission: false\n")
