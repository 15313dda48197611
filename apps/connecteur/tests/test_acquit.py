"""What the DGFiP refused of a flow is refused here: in rejets/, in the command, in a letter, with its reasons."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from lxml import etree
from tdt_connector import acquit, cli
from tdt_connector.acquit import AcquitError
from tdt_connector.driver import RemoteState, RemoteStatus
from tdt_connector.errors import Refused
from tdt_connector.journal import State
from tdt_connector.s2low import S2low
from tdt_simulator.testing import TdtServer

from testbed import helios
from testbed.connector import SIREN, Commune

SCHEMAS = Path(__file__).parents[4] / "shared" / "protocol" / "pes" / "PES_V2" / "Rev0"
FIRST = "http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/retour"
SECOND = f"{FIRST}/v2"
DOUBLE = '<NumAnoAck V="ERREUR_DOUBLON_PIECE"/><LibelleAnoAck V="Pièce déjà prise en charge"/>'
NO_LABEL = '<NumAnoAck V="ERREUR_CODE_COLLECTIVITE_BUDGET"/>'


def document(namespace: str, *elements: str) -> bytes:
    """A PES Acquit of these elements."""
    form = "1" if namespace == FIRST else "2"
    inside = "".join(f"<ElementACQUIT>{one}</ElementACQUIT>" for one in elements)
    return (
        f'<?xml version="1.0" encoding="ISO-8859-1"?><n:PES_ACQUIT xmlns:n="{namespace}"><Enveloppe><Parametres>'
        '<Version V="2"/><TypFic V="ACQUIT"/><NomFic V="ACQ1"/></Parametres><Emetteur><Sigle V="DGFIP"/><Adresse '
        'V="Paris"/></Emetteur></Enveloppe><EnTetePES><DteStr V="2026-01-15"/><IdPost V="059001"/><IdColl '
        'V="21590266900011"/><CodCol V="266"/><CodBud V="00"/></EnTetePES><ACQUIT><EnTeteAcquit>'
        f'<IdVer V="{form}"/></EnTeteAcquit>{inside}</ACQUIT></n:PES_ACQUIT>'
    ).encode("iso-8859-1")


def first(domain: int, state: int, rest: str = "") -> str:
    return f'<DomaineAck V="{domain}"/><EtatAck V="{state}"/>{rest}'


SLIP = '<ExerciceBord V="2026"/><NumBord V="{}"/>'
SLIP_2 = '<NumBord V="{}"/><ExerciceBord V="2026"/>'
OLD = document(
    FIRST,
    first(5, 1, SLIP.format(11)),
    first(5, 0, f'{SLIP.format(12)}<NumPiece V="45"/><NumLigne V="1"/>{DOUBLE}'),
    first(4, 0, f'<IdUnique V="PJ7"/>{NO_LABEL}'),
    first(6, 0, SLIP.format(13)),
)
NEW = document(
    SECOND,
    first(5, 1, SLIP_2.format(11)),
    first(
        5,
        0,
        f'{SLIP_2.format(12)}<Erreur><LibelleAnoAck V="Bordereau refusé"/></Erreur><DetailPiece>'
        f'<NumPiece V="45"/><Erreur>{DOUBLE}</Erreur><DetailLigne><NumLigne V="1"/><Erreur>{NO_LABEL}</Erreur>'
        f'</DetailLigne><DetailLigne><NumLigne V="2"/><Erreur>{NO_LABEL}</Erreur></DetailLigne></DetailPiece>'
        f'<DetailPiece><NumPiece V="46"/><Erreur>{DOUBLE}</Erreur></DetailPiece>',
    ),
    first(11, 0, '<IdMarche V="20260000000012-001"/>'),
)
TAKEN = document(SECOND, first(5, 1, SLIP_2.format(11)), first(4, 1, '<IdUnique V="PJ7"/>'))


@pytest.mark.parametrize(("content", "form"), [(OLD, ""), (NEW, "_V2"), (TAKEN, "_V2")])
def test_these_are_answers_of_the_dgfip(content: bytes, form: str) -> None:
    if not SCHEMAS.exists():
        pytest.skip("the reference data of ../shared is not beside this clone")
    schema = etree.XMLSchema(etree.parse(SCHEMAS / f"PES_V2_Acquit_Autonome{form}.xsd"))
    assert schema.validate(etree.fromstring(content)), schema.error_log


def test_each_element_of_the_first_form_has_its_fate() -> None:
    found = acquit.parse(io.BytesIO(OLD))
    assert found.account().splitlines() == [
        "refusé par la DGFiP, 3 élément(s) sur 4 : bordereau 12 (dépense, 2026), pièce 45, ligne 1, "
        "pièce jointe PJ7, bordereau 13 (recette, 2026).",
        "bordereau 12 (dépense, 2026), pièce 45, ligne 1 : Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE).",
        "pièce jointe PJ7 : code collectivite budget.",
        "bordereau 13 (recette, 2026) : refus sans explication de la DGFiP.",
        "Accepté par la DGFiP : bordereau 11 (dépense, 2026).",
    ]


def test_each_part_of_an_element_of_the_second_form_has_its_reason() -> None:
    found = acquit.parse(io.BytesIO(NEW))
    slip = "bordereau 12 (dépense, 2026)"
    assert found.account().splitlines() == [
        f"refusé par la DGFiP, 2 élément(s) sur 3 : {slip}, marché 20260000000012-001.",
        f"{slip} : Bordereau refusé.",
        f"{slip}, pièce 45 : Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE).",
        f"{slip}, pièce 45, ligne 1 : code collectivite budget.",
        f"{slip}, pièce 45, ligne 2 : code collectivite budget.",
        f"{slip}, pièce 46 : Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE).",
        "marché 20260000000012-001 : refus sans explication de la DGFiP.",
        "Accepté par la DGFiP : bordereau 11 (dépense, 2026).",
    ]


def test_what_is_taken_whole_has_nothing_to_say() -> None:
    found = acquit.parse(io.BytesIO(TAKEN))
    assert (found.taken, found.refused, found.account()) == (2, 0, "")
    remark = document(SECOND, first(5, 1, f"{SLIP_2.format(11)}<Erreur>{DOUBLE}</Erreur>"))
    assert acquit.parse(io.BytesIO(remark)).account() == (
        "Signalé par la DGFiP : bordereau 11 (dépense, 2026) : Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE)."
    )


def test_thousands_of_refusals_are_told_in_few_lines() -> None:
    found = acquit.parse(io.BytesIO(document(FIRST, *(first(5, 0, SLIP.format(rank)) for rank in range(5000)))))
    assert (found.refused, len(found.faults), len(found.refused_names)) == (5000, 2000, 2000)
    assert len(found.account()) < 5000
    assert "5000 élément(s) sur 5000" in found.account()
    assert "et 4997 autre(s)" in found.account()


UNREADABLE = [
    (b"<PES_ACQUIT>", "n'est pas du XML lisible"),
    (b"<html><body>Erreur</body></html>", "n'en est pas un"),
    (b"<PES_ACQUIT/>", "ne dit le sort d'aucun élément"),
    (document(SECOND, '<DomaineAck V="5"/><NumBord V="3"/>'), "ne dit pas le sort de « bordereau 3 (dépense) »"),
    (document(SECOND, first(5, 2, '<NumBord V="3"/>')), "ne dit pas le sort de « bordereau 3 (dépense) »"),
    (
        document(SECOND, first(5, 1, SLIP_2.format(3)), first(5, 1, '<EtatAck V="2"/>')),
        "ne dit pas le sort de « flux (dé",
    ),
    (document(SECOND, first(5, 1), "<ElementACQUIT/>"), "a un « ElementACQUIT » là où il n'y en a pas"),
    (
        TAKEN.replace(b"<ElementACQUIT><", b'<ElementAcquit><EtatAck V="0"/></ElementAcquit><ElementACQUIT><', 1),
        "a un « EtatAck » là où",
    ),
    (document(SECOND, '<DetailPiece><NumPiece V="1"/><EtatAck V="1"/></DetailPiece>'), "ne dit pas le sort de « flux"),
    (b"<!DOCTYPE a><PES_ACQUIT/>", "DTD interdite"),
]


@pytest.mark.parametrize(("content", "words"), UNREADABLE)
def test_an_answer_that_does_not_say_is_no_success(content: bytes, words: str) -> None:
    with pytest.raises(AcquitError, match=re.escape(words)):
        acquit.parse(io.BytesIO(content))


@pytest.mark.parametrize(
    "more", ['<EtatAck V="1"/>', '<DetailPiece><NumPiece V="1"/><EtatAck V="1"/></DetailPiece>'], ids=["again", "piece"]
)
def test_what_is_refused_once_is_refused(more: str) -> None:
    """Whatever else says that it is taken, before or after it."""
    for inside in (first(5, 0, more), first(5, 1, more.replace('EtatAck V="1"', 'EtatAck V="0"'))):
        found = acquit.parse(io.BytesIO(document(SECOND, inside)))
        assert (found.taken, found.refused) == (0, 1)


def answered(monkeypatch: pytest.MonkeyPatch, content: bytes | Exception, state: RemoteState | None = None) -> None:
    """Have the TdT give this acquit, and say that the flow is in this state."""

    def receipt(_driver: S2low, _transaction: int) -> bytes:
        if isinstance(content, Exception):
            raise content
        return content

    monkeypatch.setattr(S2low, "pes_receipt", receipt)
    if state:
        monkeypatch.setattr(S2low, "pes_status", lambda driver, transaction: RemoteStatus(6, state, "Flux rejeté"))


@pytest.mark.parametrize("content", [OLD, NEW])
@pytest.mark.parametrize("state", [None, RemoteState.REFUSED])
def test_a_refused_flow_is_in_rejets_with_its_reasons_and_a_letter(
    commune: Commune,
    tdt: TdtServer,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    state: RemoteState | None,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    answered(monkeypatch, content, state)
    sent = commune.drop_pes("mandats.xml")
    commune.run()
    assert commune.folder("acquittes") == []
    (folder,) = commune.folder("rejets")
    assert {path.name for path in folder.iterdir()} == {"mandats.xml", "acquittement.xml", "motif.txt", "resume.json"}
    assert (folder / "mandats.xml").read_bytes() == sent
    assert (folder / "acquittement.xml").read_bytes() == content
    lines = [
        "Refusé par la DGFiP, ",
        "Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE)",
        "Accepté par la DGFiP : bordereau 11",
        "ce que la DGFiP a accepté ne se renvoie pas",
    ]
    (letter,) = commune.folder("lettres")
    assert (letter / "acquittement.xml").read_bytes() == content
    for text in ((folder / "motif.txt").read_text(), (letter / "rejet.txt").read_text()):
        assert [line for line in lines if line not in text] == []
    assert "« mandats.xml »" in (letter / "rejet.txt").read_text()
    summary = json.loads((folder / "resume.json").read_text())
    assert summary["etat"] == "refuse"
    assert "bordereau 11 (dépense, 2026)" in summary["helios"]["acceptes"]
    assert "ERREUR_DOUBLON_PIECE" in [one["code"] for one in summary["helios"]["motifs"]]
    config = str(commune.write_config(tmp_path / "config.yml"))
    assert cli.main(["--config", config, "status"]) == 0
    assert "refusé par la DGFiP, " in capsys.readouterr().out
    (row,) = commune.rows()
    assert cli.main(["--config", config, "status", row.ref]) == 0
    shown = capsys.readouterr().out
    assert "Pièce déjà prise en charge (ERREUR_DOUBLON_PIECE)" in shown
    assert f"rangé dans rejets/{folder.name}" in shown


def test_killed_before_it_is_filed_a_refusal_has_one_letter(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, NEW)
    commune.drop_pes()
    assert commune.crash("résumé")
    commune.run()
    assert (len(commune.folder("lettres")), len(commune.folder("rejets"))) == (1, 1)


def test_a_refusal_without_an_acquit_says_what_the_tdt_says(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, Refused("pas d'acquit"), RemoteState.REFUSED)
    commune.drop_pes()
    commune.run()
    assert "Refusé par la DGFiP : Flux rejeté." in commune.motive()
    assert len(commune.folder("lettres")) == 1


@pytest.mark.parametrize(("content", "words"), UNREADABLE)
def test_a_flow_whose_answer_does_not_say_is_left_to_a_person(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    answered(monkeypatch, content)
    commune.drop_pes()
    commune.drop("2026_001")
    commune.run()
    (flow,) = [row for row in commune.rows() if row.kind == "pes"]
    assert (flow.state, words in flow.detail) == (State.TO_RECONCILE, True)
    assert commune.row().state is State.ACKNOWLEDGED


# -- bordereaux of which nothing is said ----------------------------------------------------------------------------


def sent(*slips: tuple[str, str, str]) -> bytes:
    """A flow of these bordereaux: part, number, year."""
    inside = "".join(
        f'<PES_{part}Aller><Bordereau><BlocBordereau><Exer V="{year}"/><IdBord V="{number}"/></BlocBordereau>'
        f'<Piece><IdBord V="99"/></Piece></Bordereau></PES_{part}Aller>'
        for part, number, year in slips
    )
    return f'<?xml version="1.0" encoding="ISO-8859-1"?><PES_Aller>{inside}</PES_Aller>'.encode("iso-8859-1")


TWELVE = '<NumBord V="12"/>'
PAIR = ("Depense", "11", "2026"), ("Depense", "12", "2026")


@pytest.mark.parametrize(
    ("slips", "elements", "unsaid"),
    [
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(5, 1, SLIP_2.format("0000012"))], []),
        (PAIR, [first(5, 1, SLIP_2.format(11))], ["bordereau 12 (dépense, 2026)"]),
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(5, 0, SLIP_2.format(12))], []),
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(3, 0, SLIP_2.format(12))], []),
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(3, 1, SLIP_2.format(12))], ["bordereau 12 (dépense, 2026)"]),
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(6, 1, SLIP_2.format(12))], ["bordereau 12 (dépense, 2026)"]),
        (PAIR, [first(5, 1, SLIP_2.format(11)), first(5, 1, TWELVE)], []),
        (
            PAIR,
            [first(5, 1, SLIP_2.format(11)), first(5, 1, '<NumBord V="12"/><ExerciceBord V="2025"/>')],
            ["bordereau 12 (dépense, 2026)"],
        ),
        (
            PAIR,
            [first(5, 1, SLIP_2.format(11)), first(4, 1, '<NumBord V="12"/><IdUnique V="PJ1"/>')],
            ["bordereau 12 (dépense, 2026)"],
        ),
        (PAIR, [first(0, 1)], ["bordereau 11 (dépense, 2026)", "bordereau 12 (dépense, 2026)"]),
        (PAIR, [first(0, 0)], []),
        (
            (("Depense", "12", "2025"), ("Depense", "12", "2026")),
            [first(5, 1, TWELVE)],
            ["bordereau 12 (dépense, 2025)", "bordereau 12 (dépense, 2026)"],
        ),
        (
            (("Depense", "12", "2026"), ("Recette", "12", "2026")),
            [first(5, 1, SLIP_2.format(12)), first(5, 1, SLIP_2.format(12))],
            ["bordereau 12 (recette, 2026)"],
        ),
        ((), [first(11, 1, '<IdMarche V="20260000000012-001"/>')], []),
    ],
    ids=["all", "omitted", "refused", "its signature is refused", "its signature is good", "of another kind",
         "without its year", "of another year", "its attachment", "the flow is taken", "the flow is refused",
         "two of one number", "one of each kind", "no bordereau"],
)  # fmt: skip # a case a line
def test_a_bordereau_of_which_nothing_is_said_is_seen(
    slips: tuple[tuple[str, str, str], ...], elements: list[str], unsaid: list[str]
) -> None:
    found = acquit.parse(io.BytesIO(document(SECOND, *elements)))
    found.match(io.BytesIO(sent(*slips)))
    assert [str(one) for one in found.unsaid] == unsaid
    assert found.to_dict()["sans_reponse"] == unsaid
    assert ("Sans réponse de la DGFiP : " + ", ".join(unsaid) + "." in found.account().splitlines()) is bool(unsaid)


def test_a_flow_out_of_bounds_is_left_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquit, "_SLIPS_MAX", 1)
    for content, words in ((sent(*PAIR), "plus de 1 bordereaux"), (b"<PES_Aller>", "ne se relit pas")):
        with pytest.raises(AcquitError, match=words):
            acquit.parse(io.BytesIO(TAKEN)).match(io.BytesIO(content))


def test_a_flow_with_a_bordereau_left_out_is_no_success(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip # the fixtures
    answered(monkeypatch, TAKEN)
    commune.put("mandats.xml", helios.flow("PES1", f"{SIREN}00011", slips=("B1", "B2")))
    commune.run()
    assert (commune.folder("acquittes"), commune.folder("rejets")) == ([], [])
    (row,) = commune.rows()
    assert row.state is State.TO_RECONCILE
    config = str(commune.write_config(tmp_path / "config.yml"))
    assert cli.main(["--config", config, "status", row.ref]) == 0
    shown = capsys.readouterr().out
    assert "Sans réponse de la DGFiP : bordereau 1 (dépense, 2026), bordereau 2 (dépense, 2026)." in shown
    again = ["--config", config, "retry", row.ref]
    assert f"{' '.join(again[2:])} --transaction {row.transaction}" in shown
    assert cli.main([*again, "--absent"]) == 1, "what the DGFiP has taken is not sent again"
    whole = document(SECOND, *(first(5, 1, SLIP_2.format(rank)) for rank in (1, 2)))
    answered(monkeypatch, whole)
    assert cli.main([*again, "--transaction", str(row.transaction)]) == 0
    commune.run()
    assert commune.rows()[0].state is State.ACKNOWLEDGED
    (folder,) = commune.folder("acquittes")
    assert (folder / "acquittement.xml").read_bytes() == whole
    assert json.loads((folder / "resume.json").read_text())["helios"]["sans_reponse"] == []


def test_a_refusal_says_also_of_what_nothing_is_said(
    commune: Commune, tdt: TdtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, document(SECOND, first(5, 0, SLIP_2.format(1))))
    commune.put("mandats.xml", helios.flow("PES1", f"{SIREN}00011", slips=("B1", "B2")))
    commune.run()
    assert "Sans réponse de la DGFiP : bordereau 2 (dépense, 2026)." in commune.motive()
