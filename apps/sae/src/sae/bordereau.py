"""The bordereau d'élimination: the list that the commune signs, and that the Archives départementales give a visa to.

Code du patrimoine: nothing is eliminated without the prior visa of who controls archives for the State (L212-2,
R212-14); eliminating otherwise is an offence (L214-3). The list has a mark, its digest in few characters, printed on
every page: a visa quotes it, so that one given for another list is seen.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_agent.errors import CreaticError
from sae import sizes
from sae.config import Account
from sae.journal import canonical
from sae.journal.log import parse_time
from sae.sheets import built, paragraph

MAX_SIGNED_DOCUMENT_BYTES = 50_000_000  # bytes of a signed bordereau, or of a visa
_TIMEOUT_S = 200
_MAX_VERIFIER_REPLY_BYTES = 1 << 16


class BordereauSignatureError(CreaticError, cause="bordereau_non_signe"):
    """The bordereau is not signed by whom it should be; the message, in French, says why."""


def mark(account: str, archives: Sequence[Mapping[str, Any]]) -> str:
    """What names a list, and no other: « BE-1A2B-3C4D-5E6F-7081 »."""
    listed = canonical.encode({"compte": account, "archives": [[one["aip"], one["sha512"]] for one in archives]})
    digest = hashlib.sha256(listed.encode()).hexdigest().upper()
    return "BE-" + "-".join(digest[at : at + 4] for at in range(0, 16, 4))


def normal(quoted: str) -> str:
    """A mark as somebody typed it."""
    return "".join(quoted.split()).upper().replace("\u2013", "-")


@dataclass(frozen=True)
class Verifier:
    """What judges the signature of a PDF: a service of its own (role `signature`), whose account owns no key.

    Attributes:
        socket: where it listens; a process answers each request.
    """

    socket: Path

    def check(self, signed: bytes, original: bytes, account: Account) -> dict[str, str]:
        """Who signed, of the commune: `signataire`, `serie`, `date`.

        Raises:
            NotSigned: it is not the person who signs for this account, or not this bordereau.
        """
        if not account.signatory:
            raise BordereauSignatureError(
                f"personne n'est déclaré pour signer les bordereaux du compte « {account.name} » : le maire de la "
                "commune vient de son fichier (parapheur ou deliberations, champ maire), celui d'un partenaire de "
                "creatic_archive_partenaires (champ signataire)"
            )
        request = {
            "nom": "bordereau-signe.pdf",
            # The first that signed is enough: the président of an entity may have a certificate of its commune alone.
            "signataires": [
                {"nom": account.signatory, "siren": siren}
                for siren in (account.siren, account.signatory_siren)
                if siren
            ],
            "origine": len(original),
            "signe": len(signed),
        }
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT_S)
                connection.connect(str(self.socket))
                connection.sendall(json.dumps(request).encode() + b"\n" + original + signed)
                with connection.makefile("rb") as answer:
                    found: dict[str, Any] = json.loads(answer.readline(_MAX_VERIFIER_REPLY_BYTES))
        except (OSError, ValueError) as error:
            raise BordereauSignatureError(
                f"la signature n'a pas pu être vérifiée ({error}) : voyez systemctl status sae-signature.socket"
            ) from error
        if "refus" in found:
            raise BordereauSignatureError(str(found["refus"]))
        return {name: str(found.get(name) or "") for name in ("signataire", "serie", "date")}


def make(document: Mapping[str, Any], account: Account, agency: str, durations: str = "") -> bytes:
    """The PDF to sign, of a list made by `sae-elimination demander`.

    Args:
        document: `demande`, `liste` (its mark), `motif`, `heure`, `archives`.
        agency: identifier of this archive.
        durations: agreement to the table of durations, if it was given.
    """
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.platypus import KeepTogether, LongTable, Paragraph, Spacer, Table

    ink, rule = HexColor("#14306b"), HexColor("#b8c0cf")
    body = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13)
    small = ParagraphStyle("small", parent=body, fontSize=7.5, leading=9.5, splitLongWords=1)
    title = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=16, leading=21, textColor=ink)
    section = ParagraphStyle("section", parent=title, fontSize=11, leading=20, spaceBefore=4 * mm)

    def text(value: object, style: ParagraphStyle = body) -> Paragraph:
        return paragraph(value, style)

    archives = document["archives"]
    taken = [one["verse_le"] for one in archives]
    grid = [("GRID", (0, 0), (-1, -1), 0.4, rule), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    head = [("BACKGROUND", (0, 0), (-1, 0), HexColor("#f3f5f9"))]
    facts = [
        ("Service versant", f"{account.label} (SIREN {account.siren})"),
        ("Service d'archivage", agency),
        ("Demande", document["demande"]),
        ("Liste", document["liste"]),
        ("Archives", f"{len(archives)}, {sizes.readable(sum(one['octets'] for one in archives))}"),
        ("Versées", f"du {_format_day(min(taken))} au {_format_day(max(taken))}"),
        ("Motif", document["motif"]),
        *([("Durées convenues", f"accord des Archives départementales : {durations}")] if durations else []),
    ]
    rows: list[list[Any]] = [["N°", "Archive", "Versée le", "Durée échue le", "Taille"]]
    rows += [
        [
            text(number, small),
            [text(one.get("titre") or one["identifiant"], small), text(one["aip"], small)],
            text(_format_day(one["verse_le"]), small),
            text(_format_day(one["conserve_jusqua"]), small),
            text(sizes.readable(one["octets"]), small),
        ]
        for number, one in enumerate(archives, 1)
    ]
    listing = LongTable(rows, colWidths=[11 * mm, 90 * mm, 22 * mm, 26 * mm, 20.8 * mm], repeatRows=1)
    listing.setStyle([*grid, *head, ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 7.5)])
    described = Table([[text(name), text(value)] for name, value in facts], colWidths=[40 * mm, 129.8 * mm])
    described.setStyle(grid)
    ends = Table(
        [
            [text(f"Pour {account.label}"), text("Archives départementales")],
            [
                text(
                    f"{account.signatory or 'Le maire'} signe ce fichier, tel quel, avec sa clé : la signature est "
                    "dans le fichier, rien n'est à écrire ici."
                ),
                text(
                    "Visa du directeur, préalable à toute élimination. Il porte sur cette liste et nulle autre : "
                    f"citez {document['liste']} sur le visa."
                ),
            ],
        ],
        colWidths=[84.9 * mm, 84.9 * mm],
    )
    ends.setStyle([*grid, *head])
    story = [
        text("Bordereau d'élimination d'archives publiques", title),
        text(f"Code du patrimoine, articles L212-2 et R212-14. Établi le {parse_time(document['heure']):%d/%m/%Y}."),
        Spacer(1, 4 * mm),
        described,
        text("Archives proposées à l'élimination", section),
        listing,
        KeepTogether([text("Signature et visa", section), ends]),
    ]
    title_of = f"Bordereau d'élimination {document['liste']}"
    return built(story, f"Liste {document['liste']}", title=title_of, author=account.label)


def _format_day(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp, UTC):%d/%m/%Y}"
