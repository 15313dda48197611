"""What S²LOW and the DGFiP ask of a flow of Helios before they read its mandates: its encoding, header and content.

A flow that misses one of these is taken by S²LOW, with an identifier, then put in error: nobody at the Trésor sees it.

Sources: S²LOW's analysis of a PES Aller (encoding in the first 50 bytes, NomFic, CodCol, IdColl, IdPost, CodBud, then
bordereaux, attachments and contracts); PES_V2, Class_EntetePES.xsd, Class_Enveloppe.xsd and their types.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import BinaryIO

from creatic_agent import flow

_HEAD = 50  # bytes where S²LOW looks for the encoding
_BLOCK = 1 << 20
_DECLARED = re.compile(rb"""<\?xml\s[^>]*\bencoding\s*=\s*(["'])ISO-8859-1\1""", re.IGNORECASE)
# What the accents of French are in UTF-8: in ISO-8859-1, an « Ã » or an « Â » before a sign that no word has there.
_ACCENT = re.compile(rb"[\xc2\xc3][\x80-\xbf]")
_NAME, _OWNER = ("Enveloppe", "Parametres", "NomFic"), ("EnTetePES", "IdColl")
# Each value by its place, with what it must be and what that is called.
_WANTED: dict[flow.Path, tuple[re.Pattern[str], str]] = {
    _NAME: (re.compile(r"(?=.*[^0]).{1,100}"), "le nom du flux, en 100 caractères au plus"),
    ("EnTetePES", "IdPost"): (re.compile(r"(?!0+$)(?:[0-9]{6,7}|02[AB][0-9]{3,4})"), "le codique du poste comptable"),
    ("EnTetePES", "CodCol"): (re.compile(r"(?!000)[0-9]{3}"), "le code collectivité du Trésor, en 3 chiffres"),
    ("EnTetePES", "CodBud"): (re.compile(r"[0-9A-Z][0-9]"), "le code du budget, en 2 caractères"),
}
_SLIPS = tuple(("PES_Aller", name, "Bordereau") for name in ("PES_DepenseAller", "PES_RecetteAller"))
_PARTS = (*_SLIPS, ("PES_Aller", "PES_PJ", "PJ"), ("PES_Aller", "PES_Marche"), ("PES_Aller", "PES_Facture"))


class Envelope:
    """What a flow says of itself, as it is read."""

    def __init__(self) -> None:
        self._values: dict[flow.Path, list[str]] = {place: [] for place in (*_WANTED, _OWNER)}
        self._parts = 0

    def start(self, place: flow.Path, attributes: Mapping[str, str]) -> None:
        if place[0] == "PES_Aller" and place[1:] in self._values:
            found = self._values[place[1:]]
            if len(found) < 2:
                found.append(attributes.get("V", "").strip())
        elif place in _PARTS:
            self._parts += 1

    @property
    def owner(self) -> str:
        """SIRET of the collectivity (EnTetePES/IdColl); empty without one."""
        return ", ".join(self._values[_OWNER])

    def faults(self, name: str) -> list[str]:
        """Every reason why S²LOW would put the flow in error, or the DGFiP refuse it.

        Args:
            name: of the file.
        """
        faults = []
        for place, (pattern, meaning) in _WANTED.items():
            found, field = self._values[place], "/".join(place)
            if not any(found):
                told = f"« {name} » n'a pas de {field} ({meaning})"
            elif len(found) > 1:
                told = f"« {name} » a plusieurs {field} ({meaning})"
            elif not pattern.fullmatch(found[0]):
                told = f"« {name} », {field} : « {found[0][:120]} » n'est pas admis ; il y faut {meaning}"
            else:
                continue
            faults.append(f"{told}. Corrigez-le dans le logiciel de comptabilité, puis exportez de nouveau le flux.")
        if not self._parts:
            faults.append(f"« {name} » ne contient ni bordereau, ni pièce jointe, ni marché ; exportez-le de nouveau.")
        return faults


def encoding_fault(stream: BinaryIO, name: str) -> str | None:
    """None when the flow is in ISO-8859-1 and says so where S²LOW looks, else why not.

    Args:
        stream: at the beginning of the flow.
        name: of the file.
    """
    again = "exportez de nouveau le flux en ISO-8859-1"
    head = stream.read(_HEAD)
    if head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return f"« {name} » commence par une marque d'encodage (BOM), que le Trésor ne lit pas ; {again}."
    if not _DECLARED.match(head):
        return (
            f"« {name} » n'est pas encodé en ISO-8859-1, ou ne le dit pas dans ses {_HEAD} premiers octets ; {again}."
        )
    stream.seek(0)
    decoder, accents = codecs.getincrementaldecoder("utf-8")(), False
    try:
        while block := stream.read(_BLOCK):
            decoder.decode(block)
            accents = accents or _ACCENT.search(block) is not None
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return None  # ISO-8859-1 indeed
    if accents:
        return f"« {name} » se dit en ISO-8859-1 mais est écrit en UTF-8 : ses accents seraient faux ; {again}."
    return None
