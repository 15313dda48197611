"""Flows of Helios that S²LOW would put in error, or the DGFiP refuse, never leave."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import pytest
from tdt_connector.checks import check_pes
from tdt_simulator import pes

from testbed import helios

SIREN = helios.SIRET[:9]
FLOW = helios.flow(pj="JVBERi0=")
HEAD = b'encoding="ISO-8859-1"?>'
SLIPS = re.compile(rb"    <Bordereau.*</Bordereau>\n", re.DOTALL)


def utf8(content: bytes) -> bytes:
    return content.decode("iso-8859-1").encode()


def faults(folder: Path, content: bytes) -> list[str]:
    path = folder / "flux.xml"
    path.write_bytes(content)
    return check_pes(path, SIREN, 10**8)


@pytest.mark.parametrize(
    "content",
    [
        FLOW,
        helios.flow(slips=("", "")),  # two bordereaux, no attachment
        helios.flow(slips=(), pj="JVBERi0="),  # an attachment alone
        helios.flow(slips=()).replace(b"</PES_DepenseAller>", b"</PES_DepenseAller><PES_Marche/>"),
        helios.flow().replace(b"Depense", b"Recette"),
        FLOW.replace(b"ISO-8859-1", b"iso-8859-1"),
        FLOW.replace(b'version="1.0" encoding="ISO-8859-1"', b"version = '1.0' encoding = 'ISO-8859-1'"),
        FLOW.replace("é".encode("latin-1"), b"&#233;"),
        FLOW.replace("é".encode("latin-1"), b"e"),  # ASCII alone
        FLOW.replace("Réfection de l'école".encode("latin-1"), "CAFÉ» ".encode("latin-1")),  # UTF-8 too, by chance
        FLOW.replace(b'CodBud V="00"', b'CodBud V="A3"'),
        FLOW.replace(b'IdPost V="059001"', b'IdPost V="02A001"'),
        # What stands elsewhere tells nothing of the flow.
        FLOW.replace(b"</Piece>", b"<EnTetePES><CodCol V=''/><IdColl V='1'/></EnTetePES></Piece>"),
    ],
)  # fmt: skip
def test_a_good_flow_leaves(tmp_path: Path, content: bytes) -> None:
    assert faults(tmp_path, content) == []
    assert pes.fault(tmp_path / "flux.xml")[1] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (utf8(FLOW).replace(b"ISO-8859-1", b"UTF-8"), "pas encodé en ISO-8859-1"),
        (FLOW.replace(b"ISO-8859-1", b"windows-1252"), "pas encodé en ISO-8859-1"),
        (FLOW.replace(b"ISO-8859-1", b"ISO-8859-15"), "pas encodé en ISO-8859-1"),
        (FLOW.split(b"\n", 1)[1].replace("é".encode("latin-1"), b"e"), "pas encodé en ISO-8859-1"),  # no declaration
        (FLOW.replace(b" encoding", b" " * 40 + b"encoding"), "50 premiers octets"),
        (b"<!-- ISO-8859-1 -->" + helios.flow(slips=()).split(b"\n", 1)[1], "pas encodé en ISO-8859-1"),
        (utf8(FLOW), "écrit en UTF-8"),
        (utf8(helios.flow(pj="QUJD" * 400_000)), "écrit en UTF-8"),
        (codecs.BOM_UTF8 + utf8(FLOW), "BOM|pas du XML lisible"),
        (codecs.BOM_UTF8 + utf8(FLOW).replace(b"ISO-8859-1", b"UTF-8"), "BOM"),
        (FLOW.decode("latin-1").replace("ISO-8859-1", "UTF-16").encode("utf-16"), "BOM"),
        (FLOW.replace(b"ISO-8859-1", b"UTF-8"), "pas du XML lisible"),
        (FLOW.replace(b'<NomFic V="PESALR2_1"/>', b""), "n'a pas de Enveloppe/Parametres/NomFic"),
        (FLOW.replace(b'NomFic V="PESALR2_1"', b'NomFic V=" "'), "n'a pas de Enveloppe/Parametres/NomFic"),
        (FLOW.replace(b'NomFic V="PESALR2_1"', b'NomFic v="PESALR2_1"'), "n'a pas de Enveloppe/Parametres/NomFic"),
        (FLOW.replace(b"PESALR2_1", b"P" * 101), "100 caractères au plus"),
        (FLOW.replace(b"<Parametres>", b"<Autres>").replace(b"</Parametres>", b"</Autres>"), "NomFic"),
        (FLOW.replace(b'<CodCol V="123"/>', b""), "n'a pas de EnTetePES/CodCol"),
        (FLOW.replace(b'CodCol V="123"', b'CodCol V="1234"'), "EnTetePES/CodCol : « 1234 » n'est pas admis"),
        (FLOW.replace(b'CodCol V="123"', b'CodCol V="000"'), "EnTetePES/CodCol : « 000 » n'est pas admis"),
        (FLOW.replace(b'CodCol V="123"', b"CodCol V='&#1633;23'"), "EnTetePES/CodCol"),
        (FLOW.replace(b'<CodCol V="123"/>', b'<CodCol V="123"/><CodCol V="124"/>'), "plusieurs EnTetePES/CodCol"),
        (FLOW.replace(b'CodBud V="00"', b'CodBud V=""'), "n'a pas de EnTetePES/CodBud"),
        (FLOW.replace(b'CodBud V="00"', b'CodBud V="0"'), "EnTetePES/CodBud : « 0 » n'est pas admis"),
        (FLOW.replace(b'IdPost V="059001"', b'IdPost W="059001"'), "n'a pas de EnTetePES/IdPost"),
        (FLOW.replace(b'IdPost V="059001"', b'IdPost V="59"'), "EnTetePES/IdPost : « 59 » n'est pas admis"),
        (FLOW.replace(b'IdColl V="', b'IdColl V="0'), "n'est pas de la collectivité"),
        (FLOW.replace(b'00011"/>', b'000110"/>'), "n'est pas de la collectivité"),  # 15 digits
        (FLOW.replace(b"<IdPost", b'<IdColl V="21590035800011"/><IdPost'), "n'est pas de la collectivité"),
        (FLOW.replace(b"<Enveloppe>", b"<x><EnTetePES><IdColl V='%s'/></EnTetePES></x><Enveloppe>" % SIREN.encode())
         .replace(helios.SIRET.encode(), b"21590035800011"), "21590035800011"),
        (helios.flow(slips=()), "ni bordereau, ni pièce jointe, ni marché"),
        (helios.flow(slips=(), pj="#").replace(b"<PJ>", b"<P>").replace(b"</PJ>", b"</P>"), "ni bordereau"),
        (FLOW.replace(b"PES_DepenseAller", b"PES_DepenseRetour").replace(b"PJ>", b"P>"), "ni bordereau"),
    ],
)  # fmt: skip
def test_a_flow_that_would_be_put_in_error_does_not_leave(tmp_path: Path, content: bytes, words: str) -> None:
    assert content != FLOW
    found = faults(tmp_path, content)
    assert found and re.search(words, found[0]), found


def test_every_fault_of_a_header_is_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, SLIPS.sub(b"", re.sub(rb"<(NomFic|IdPost|CodCol|CodBud) V=\"\w+\"/>", b"", helios.flow())))
    assert [re.findall(r"NomFic|IdPost|CodCol|CodBud|bordereau", one)[0] for one in found] == [
        "NomFic", "IdPost", "CodCol", "CodBud", "bordereau",
    ]  # fmt: skip
