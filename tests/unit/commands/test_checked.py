"""What keeps a command from going on, and whom."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from invoke import Exit

from creatic.check import needs
from creatic.cli import common
from creatic.registry.checked_yaml import Problem


def test_a_provider_s_file_that_expired_keeps_no_other_commune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does by itself, and no hand is there: the others are rolled out, and it is told."""
    communes = [SimpleNamespace(slug=one, data={"siren": "1", "postes": []}) for one in ("loos", "bergues")]
    expired = Problem("communes/loos.yml", None, "connecteur.certificat.fichier", "le certificat a expiré", "remplacez")
    looked = SimpleNamespace(run=list, communes=communes, unreadable=False)
    monkeypatch.setattr(needs, "Inspection", lambda *_given: looked)
    monkeypatch.setattr(needs, "inspect_needs", lambda *_given, **_more: ([], tmp_path, None))
    monkeypatch.setattr(needs, "absent", lambda *_given: [])
    monkeypatch.setattr(needs, "providers_files", lambda some, _folder: [expired] if communes[0] in some else [])
    monkeypatch.setattr(needs.formalities, "problems", lambda *_given, **_more: [])
    monkeypatch.setattr(common, "chosen", lambda: SimpleNamespace(folder=tmp_path))
    common.checked(["loos", "bergues"])
    assert "retiennent que leurs communes" in (told := capsys.readouterr().err) and str(expired) in told
    common.checked(["bergues"])
    for alone in (["loos"], None):  # and who asks for all that is wrong
        with pytest.raises(Exit, match="a expiré"):
            common.checked(alone)


def test_a_formality_of_one_commune_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A paper that is not in its folder, or a day to come: the others are rolled out, and it is told with its place."""
    done = {"date": "2026-02-03", "document": "loos.pdf"}
    loos = SimpleNamespace(
        slug="loos", data={"siren": "1", "postes": [], "formalites": {"deliberation": done, "compte_tdt": done}}
    )
    entity = {"nom": "ccas", "siren": "2", "formalites": {"accord_dgfip": {"date": "2999-01-01", "sans_objet": "x"}}}
    bergues = SimpleNamespace(slug="bergues", data={"siren": "3", "postes": [], "entites": [entity]})
    lille = SimpleNamespace(slug="lille", data={"siren": "4", "postes": []})
    looked = SimpleNamespace(run=list, communes=[loos, bergues, lille], unreadable=False)
    monkeypatch.setattr(needs, "Inspection", lambda *_given: looked)
    monkeypatch.setattr(needs, "inspect_needs", lambda *_given, **_more: ([], None, None))
    monkeypatch.setattr(needs, "absent", lambda *_given: [])
    monkeypatch.setattr(common, "chosen", lambda: SimpleNamespace(folder=tmp_path))
    common.checked(["loos", "bergues", "lille"])
    told = capsys.readouterr().err
    assert "ne retiennent que leurs communes" in told and "À faire : " in told
    assert "communes/loos.yml, formalites.deliberation.document : " in told
    assert "communes/bergues.yml, entites[0].formalites.accord_dgfip.date : " in told
    common.checked(["lille"])
    assert capsys.readouterr().err == ""
    for none in (["loos"], ["loos", "bergues"], None):  # nobody is left, or who asks wants all that is wrong
        with pytest.raises(Exit, match="formalites"):
            common.checked(none)
    shared = Problem("communes/loos.yml", None, "siren", "le SIREN est celui du groupement", "corrigez")
    monkeypatch.setattr(needs, "inspect_needs", lambda *_given, **_more: ([shared], None, None))
    with pytest.raises(Exit, match="celui du groupement"):  # servers would be given it, with the others
        common.checked(["loos", "lille"])
