"""A budget leaves when the préfecture would take it, in one envelope with its délibération, and reads well."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from tdt_connector import sip
from tdt_connector.client import Client
from tdt_connector.config import Delays
from tdt_connector.depot import DepotWatcher
from tdt_connector.journal import State
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator.testing import TdtServer

from creatic_agent import totem
from creatic_agent.budget import AMENDING, PRIMARY, UNIQUE, Decision
from testbed.budget import CFU, LINES, make
from testbed.connector import SIREN, Commune

SCHEMA = Path(__file__).parents[4] / "shared/protocol/pes/SchemaDocBudg/DocumentBudgetaire.xsd"
LINE = ("6411", "012", "D", "1.00", "0")


def told(tmp_path: Path, content: bytes, decided: str = "2026-01-15", draft: bool = False) -> str:
    path = tmp_path / "budget.xml"
    path.write_bytes(content)
    faults, _remarks = totem.check(path, SIREN, decided, 43, draft)
    return "\n".join(faults)


def drop(commune: Commune, content: bytes, **changes: Any) -> None:
    commune.put("deliberation.pdf", make_pdf("Budget", "1"))
    commune.put("budget.xml", content)
    fields = {"fichier": "budget.xml", "nature": "5", "type": "99_BU", "classification": "7.1"}
    fields |= {"annexes": "[{fichier: deliberation.pdf, type: 99_BU}]", **changes}
    commune.drop("2026_048", pdf=b"", stem="budget", **fields)
    (commune.config.folder_depot / "budget.pdf").unlink(missing_ok=True)


def test_the_official_schema_takes_what_we_take(tmp_path: Path) -> None:
    if not SCHEMA.exists():
        pytest.skip("the reference data of ../shared is not beside this clone")
    # libxml2 finds the editor's free block ambiguous, and there is none in ours.
    folder = Path(shutil.copytree(SCHEMA.parent, tmp_path / "schema"))
    document = folder / "Class_DocumentBudgetaire.xsd"
    bare = etree.parse(document)
    for one in ('{*}element[@type="TBlocEditeur"]', '{*}complexType[@name="TBlocEditeur"]'):
        for parent in bare.findall(f".//{one}/.."):
            for child in parent.findall(one):
                parent.remove(child)
    bare.write(document)
    schema = etree.XMLSchema(etree.parse(folder / SCHEMA.name))
    for content in (make(), make(kind="02", before='<NumDec V="1"/>'), make(block='<DteDec V="2026-01-15"/>')):
        assert schema.validate(etree.fromstring(content)), schema.error_log
        assert told(tmp_path, content) == ""


def test_before_its_vote_a_budget_may_be_a_project_without_a_seal(tmp_path: Path) -> None:
    for content in (make(sealed=False), make(block='<ProjetBudget V="true"/>', sealed=False)):
        assert told(tmp_path, content, draft=True) == ""
    assert "Exer : exercice 2025" in told(tmp_path, make(year="2025", sealed=False), draft=True)
    assert "n'est pas un budget" in told(tmp_path, b"<a/>", draft=True)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (make(), Decision(PRIMARY, 2026)),
        (make(kind="02", before='<NumDec V="1"/>'), Decision(AMENDING, 2026, "1")),
        (make(kind="10", unique=True), Decision(UNIQUE, 2026)),
        (make(kind="07"), None),
        (b"<a/>", None),
    ],
)
def test_what_a_budget_is(tmp_path: Path, content: bytes, wanted: Decision | None) -> None:
    path = tmp_path / "budget.xml"
    path.write_bytes(content)
    assert totem.decision(path) == wanted


def test_a_budget_and_its_deliberation_go_in_one_envelope(commune: Commune, tdt: TdtServer, tmp_path: Path) -> None:
    content = make()
    drop(commune, content)
    commune.run()
    row = commune.row("2026_048")
    assert (row.state, row.idacte) == (State.ACKNOWLEDGED, "059-215902669-20260115-2026_048-BF"), row.detail
    (act,) = tdt.acts(number="2026_048")
    client = Client(commune.config)
    listed = client.get(f"/modules/actes/actes_transac_get_files_list.php?transaction={act['transaction']}")
    client.close()
    assert [item["mimetype"] for item in json.loads(listed)[1:]] == ["text/xml", "application/pdf"]
    (folder,) = commune.folder("acquittes")
    names = {path.name for path in folder.iterdir()}
    assert {"budget.xml", "deliberation.pdf", "ARActe.xml", "bordereau.pdf", "budget.html"} <= names
    assert "acte-tamponne.pdf" not in names
    assert (folder / "budget.xml").read_bytes() == content
    with (tmp_path / "sip.tar").open("wb") as target:
        sip.build(folder, SIREN, sip.Terms("SAE", "ACTES-10", "Keep"), target)
    with tarfile.open(tmp_path / "sip.tar") as package:
        assert "content/budget.xml" in package.getnames() and "content/budget.html" not in package.getnames()


def test_a_budget_waits_for_its_description_and_is_no_flow(tmp_path: Path) -> None:
    now = [0.0]
    watcher = DepotWatcher(tmp_path, Delays(), 1_000_000, lambda: now[0])
    (tmp_path / "bp.xml").write_bytes(make())
    (tmp_path / "flux.xml").write_bytes(b"<PES_Aller/>")
    assert watcher.ready(()) == []
    now[0] = 6
    assert [(one.kind, one.names) for one in watcher.ready(())] == [("pes", ("flux.xml",))]
    (tmp_path / "2026_048.yml").write_text("fichier: bp.xml\nnumero: 2026_048\n")
    assert "bp.xml" not in [name for one in watcher.ready(()) for name in one.names]
    now[0] = 12
    assert ("acte", ("2026_048.yml", "bp.xml")) in [(one.kind, one.names) for one in watcher.ready(())]
    (tmp_path / "2026_048.yml").unlink()
    now[0] = 400
    [alone] = [one for one in watcher.ready(()) if one.names == ("bp.xml",)]
    assert "sans son fichier de description" in alone.problem and "(fichier, annexes, numero" in alone.problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nature": "6", "type": "99_AU"}, "écrivez 5"),
        ({"classification": "7.10"}, "se transmet en 7.1"),
        ({"annexes": "[]"}, "la délibération qui l'adopte"),
    ],
)
def test_a_budget_goes_as_a_budget(commune: Commune, tdt: TdtServer, changes: dict[str, Any], words: str) -> None:
    drop(commune, make(), **changes)
    if changes.get("annexes") == "[]":
        (commune.config.folder_depot / "deliberation.pdf").unlink()
    commune.run()
    assert words in commune.motive() and not tdt.acts()


WRONG: dict[str, tuple[bytes, str]] = {
    "last year's schema": (make(version="42"), "VersionSchema : version 42"),
    "no version": (make(version=""), "VersionSchema : version absente"),
    "of another": (make(siret="21590374000011"), "IdColl : « 21590374000011 » n'est pas"),
    "a project": (make(block='<ProjetBudget V="true"/>'), "ProjetBudget"),
    "of last year": (make(year="2025"), "Exer : exercice 2025"),
    "no year": (make(year="MMXXVI"), "Exer : exercice MMXXVI"),
    "another day": (make(block='<DteDec V="2026-02-15"/>'), "DteDec : le 2026-02-15"),
    "a decision without number": (make(kind="02"), "NumDec"),
    "unknown kind": (make(kind="07"), "NatDec : « 07 »"),
    "not sealed": (make(sealed=False), "Scellement : absent"),
    "sealed without one of its digests": (make().replace(b"md5=", b"md4="), "Scellement : sans empreinte md5"),
    "sealed twice": (make().replace(b"<Scellement ", b'<Scellement md5="0" sha1="0"/><Scellement '), "il y en a 2"),
    "changed since": (make().replace(b"312000.00", b"212000.00"), "modifié après son scellement"),
    "spends more": (make((*LINES, LINE)), "section de fonctionnement : 450\u202f001,50\xa0€ de dépenses"),
    "invests more": (make((*LINES, ("2151", "21", "D", "0.01", "0"))), "section d'investissement : 100\u202f000,01"),
    "no amount": (make((*LINES, ("6411", "012", "D", "beaucoup", "0"))), "ligne budgétaire n° 8, MtPrev"),
    "no number": (make((*LINES, ("6411", "012", "D", "NaN", "0"))), "ligne budgétaire n° 8, MtPrev"),
    "no end of digits": (make((*LINES, ("6411", "012", "D", "1E+999999999", "0"))), "ligne budgétaire n° 8, MtPrev"),
    "no direction": (make((*LINES, ("6411", "012", "X", "1", "0"))), "ligne budgétaire n° 8, CodRD"),
    "cut": (make()[:-40], "n'est pas un budget (mal formé"),
    "another document": (b'<?xml version="1.0"?><PES_Aller/>', "élément DocumentBudgetaire attendu"),
    "entities": (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a/>', "DTD interdite"),
    "many attributes": (
        b'<?xml version="1.0"?><a ' + b" ".join(b'a%d="1"' % rank for rank in range(51)) + b"/>",
        "trop d'attributs",
    ),
    "many instructions": (b'<?xml version="1.0"?><a>' + b"<?b?>" * 1000 + b"</a>", "trop d'instructions"),
    "many elements": (b'<?xml version="1.0"?><a>' + b"<b/>" * 500_001 + b"</a>", "plus de 500000 éléments"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_prefecture_would_send_back_does_not_leave(tmp_path: Path, case: str) -> None:
    content, words = WRONG[case]
    faults = told(tmp_path, content)
    assert words in faults
    for fault in faults.splitlines():  # what to do, said to who has the file
        assert re.search(r"[;.] (?:[^;.]* )?(?:\w+ez)\b", fault, re.IGNORECASE), fault


def test_the_editor_s_own_block_tells_nothing(tmp_path: Path) -> None:
    block = f'<BlocEditeur><EnTeteDocBudgetaire><IdColl V="{SIREN}00011"/></EnTeteDocBudgetaire></BlocEditeur>'
    forged = make(siret="21590374000011").replace(
        b'<VersionSchema V="43"/>', f'<VersionSchema V="43"/>{block}'.encode()
    )
    assert "IdColl : « 21590374000011 »" in told(tmp_path, forged)


def test_comments_are_no_part_of_the_seal_and_take_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = []
    parse = etree.parse

    def kept(*given: Any) -> Any:
        trees.append(parse(*given))
        return trees[-1]

    monkeypatch.setattr(etree, "parse", kept)
    assert told(tmp_path, make().replace(b"</Budget>", b"<!---->\n<!-- a -->" * 500 + b"</Budget>")) == (
        "« budget.xml », Scellement : le budget a été modifié après son scellement ; "
        "exportez-le de nouveau dans le logiciel de comptabilité ou TotEM, sans l'ouvrir entre-temps."
    )
    assert told(tmp_path, make().replace(b"</Budget>", b"<!-- a -->" * 500 + b"</Budget>")) == ""
    assert not [node for tree in trees for node in tree.iter(etree.Comment)]


SEALED: dict[str, bytes] = {
    "TotEM's": make(),
    "as documented": make(as_documented=True),
    "in UTF-8": make().replace(b"ISO-8859-1", b"UTF-8").decode("iso-8859-1").encode(),
    "with lines of Windows": make().replace(b"\n", b"\r\n"),
    "its blank changed, which is not of it": make().replace(b"/>\n<EnTete", b"/> \n\t<EnTete"),
    "a CFU": make(kind="10", unique=True),
    "a CFU as documented": make(kind="10", unique=True, as_documented=True),
    "in capitals": re.sub(rb'(md5|sha1)="(\w+)"', lambda one: one[1] + b'="' + one[2].upper() + b'"', make()),
}


@pytest.mark.parametrize("case", SEALED)
def test_a_seal_is_as_real_files_bear_it_or_as_it_is_documented(tmp_path: Path, case: str) -> None:
    content = SEALED[case]
    assert told(tmp_path, content, "2027-06-20" if b"doccfu" in content else "2026-01-15") == ""


def _digest(content: bytes, name: str) -> str:
    found = re.search(rf'{name}="(\w+)"'.encode(), content)
    assert found
    return found[1].decode()


def test_what_a_seal_does_not_cover_is_blank_and_nothing_else(tmp_path: Path) -> None:
    for after in (b"<!-- a -->x", b"450", b"\xa0", b"<BlocEditeur/>"):
        changed = make().replace(b"/>\n<EnTete", b"/>" + after + b"\n<EnTete")
        assert "le budget a été modifié" in told(tmp_path, changed)
    for blank in (b"\t", b"\n \n"):
        assert "le budget a été modifié" in told(tmp_path, make().replace(b"\n<Scellement", blank + b"<Scellement"))
    # Its element's place is free of blank on both sides: neither way may borrow from the other.
    documented = make(as_documented=True)
    assert "modifié" in told(tmp_path, documented.replace(b"/>\n<EnTete", b"/><EnTete"))


def test_an_alteration_is_told_of_the_part_that_it_is_in(tmp_path: Path) -> None:
    content, documented = make(), make(as_documented=True)
    for name, other in (("md5", "sha1"), ("sha1", "md5")):
        changed = content.replace(_digest(content, name).encode(), b"0" * 32)
        assert f"c'est lui qui a été modifié, et non le budget (des empreintes md5 et sha1, seule {other} est" in told(
            tmp_path, changed
        )
    # Each digest is that of a way to take the seal out, but not of the same one.
    mixed = content.replace(_digest(content, "md5").encode(), _digest(documented, "md5").encode())
    assert "Scellement : c'est lui qui a été modifié" in told(tmp_path, mixed)
    unique = make(kind="10", unique=True)
    end = b"</BudgetComptable>"
    for old, new in ((b"52000.00", b"52000.01"), (b"98000.50", b"98000.51"), (end, b" " + end)):
        said = told(tmp_path, unique.replace(old, new), "2027-06-20")
        assert "le compte financier unique a été modifié après son scellement, part de l'ordonnateur ou du" in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"DocumentBudgetaire", b"DocumentDeBudget", "0 DocumentBudgetaire dans le"),
        (b"<DocumentComptable>", b"<DocumentBudgetaire/><DocumentComptable>", "2 DocumentBudgetaire"),
        (CFU.encode(), b"urn:autre", "CompteFinancierUnique trouvé"),
        (b'NatDec V="10"', b'NatDec V="09"', "dans un CompteFinancierUnique, 10 attendu"),
        (b'IdColl V="21', b'IdColl V="22', "IdColl : « 22590266900011 »"),
        (b'Exer V="2026"', b'Exer V="2024"', "Exer : exercice 2024"),
        (b'VersionSchema V="43"', b'VersionSchema V="4"', "VersionSchema : version 4 "),
        (b"<Scellement ", b"<Scelle ", "Scellement : absent"),
    ],
)
def test_a_compte_financier_unique_that_the_prefecture_would_send_back(
    tmp_path: Path, old: bytes, new: bytes, words: str
) -> None:
    content = make(kind="10", unique=True)
    assert old in content and words in told(tmp_path, content.replace(old, new), "2027-06-20")


def test_a_compte_financier_unique_goes_with_its_deliberation(commune: Commune, tdt: TdtServer) -> None:
    """Of the accounts of 2025, voted in June 2026."""
    content = make(kind="10", unique=True, year="2025")
    drop(commune, content, date="2026-06-20", objet="Compte financier unique 2025")
    commune.run()
    row = commune.row("2026_048")
    assert row.state == State.ACKNOWLEDGED, row.detail
    (folder,) = commune.folder("acquittes")
    assert (folder / "budget.xml").read_bytes() == content
    page = (folder / "budget.html").read_text(encoding="utf-8")
    assert "Compte financier unique, exercice 2025" in page and 'scope="row">012<' in page


def test_a_compte_financier_unique_waits_for_its_description_too(tmp_path: Path) -> None:
    now = [0.0]
    watcher = DepotWatcher(tmp_path, Delays(), 1_000_000, lambda: now[0])
    head = b'<?xml version="1.0"?><doccfu:CompteFinancierUnique xmlns:doccfu="%s"><DocumentComptable>' % CFU.encode()
    (tmp_path / "cfu.xml").write_bytes(head + b" " * 5000 + b"</DocumentComptable></doccfu:CompteFinancierUnique>")
    watcher.ready(())
    now[0] = 6
    assert watcher.ready(()) == []
    now[0] = 400
    [alone] = watcher.ready(())
    assert alone.kind == "autre" and "sans son fichier de description" in alone.problem


def test_every_fault_comes_at_once(tmp_path: Path) -> None:
    faults = told(tmp_path, make((*LINES, LINE), version="1", year="2024", sealed=False))
    assert re.findall(r"xml », (\w+)", faults) == ["VersionSchema", "Exer", "Scellement", "section"]


@pytest.mark.parametrize(
    ("decided", "kind", "year", "good"),
    [
        ("2026-12-14", "01", "2027", True),
        ("2026-12-14", "01", "2028", False),
        ("2027-01-21", "02", "2026", True),
        ("2027-01-22", "02", "2026", False),
        ("2027-01-21", "03", "2026", False),
        ("2027-06-20", "10", "2026", True),
        ("2027-06-20", "10", "2027", False),
        ("2026-06-20", "09", "2025", True),
        ("2027-06-20", "09", "2026", False),
    ],
)
def test_the_year_goes_with_the_day_of_the_vote(tmp_path: Path, decided: str, kind: str, year: str, good: bool) -> None:
    content = make(kind=kind, year=year, before='<NumDec V="1"/>' if kind == "02" else "")
    assert (told(tmp_path, content, decided) == "") == good


def test_more_receipts_than_expenses_are_told_only(tmp_path: Path) -> None:
    path = tmp_path / "budget.xml"
    path.write_bytes(make((*LINES, ("7788", "77", "R", "5", "0"))))
    faults, remarks = totem.check(path, SIREN, "2026-01-15", 43)
    assert (faults, len(remarks)) == ([], 1) and "recettes" in remarks[0]
    path.write_bytes(make((*LINES, ("", "", "D", "5", "0"))))
    unplaced = "équilibre du budget non vérifié : lignes sans compte par nature (1)"
    assert totem.check(path, SIREN, "2026-01-15", 43) == ([], [unplaced])


def test_accounts_need_no_balance(tmp_path: Path) -> None:
    assert told(tmp_path, make((*LINES, LINE), kind="10"), "2027-06-20") == ""


def test_a_person_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "budget <1>.xml"
    path.write_bytes(make())
    page = totem.page(path).decode()
    assert "Budget primitif, exercice 2026" in page and "Gondecourt &amp; hameaux" in page
    assert "budget &lt;1&gt;.xml" in page and "<1>" not in page
    for text in ("450\u202f000,50\xa0€", "100\u202f000,00\xa0€", 'scope="row">012<'):
        assert text in page
