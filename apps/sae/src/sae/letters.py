"""Letters of access, as PDF: what is answered to who asks, and the request for a derogation.

A refusal says why (Code du patrimoine, L213-5) and before whom it is contested: the CADA, within two months (CRPA,
L342-1 and R343-1), before any judge (L342-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sae.sheets import built, paragraph

RECOURSE = (
    "Ce refus peut être contesté. Avant tout recours devant le juge, saisissez la Commission d'accès aux documents "
    "administratifs (CADA, www.cada.fr) dans les deux mois qui suivent la réception de cette lettre, en y joignant une "
    "copie (Code des relations entre le public et l'administration, L342-1 et R343-1). Elle rend un avis ; le tribunal "
    "administratif peut être saisi ensuite."
)
DEROGATION = (
    "Vous pouvez aussi demander à consulter ces documents avant l'expiration du délai (Code du patrimoine, L213-3) : "
    "écrivez-nous, en disant l'intérêt de votre recherche. L'administration des archives décide, après accord de "
    "l'autorité dont ils émanent."
)
DISCRETION = (
    "Une autorisation est personnelle : elle vaut pour le demandeur nommé ici, pour les archives de cette liste, et "
    "jusqu'au jour qu'elle dit."
)


def answer(
    request: str, label: str, agency: str, day: date, applicant: str, rows: Sequence[tuple[str, str, bool, str]],
    partly: Sequence[tuple[str, str, str]] = (),
) -> bytes:  # fmt: skip # the signature as one
    """The letter that answers a request.

    Args:
        request: its mark.
        rows: of each archive: title, identifier, whether it is communicated, and why.
        partly: of those that are communicated in part: title, identifier, and what is taken out.
    """
    given = [one for one in rows if one[2]]
    kept = [one for one in rows if not one[2]]
    parts: list[str | Sequence[tuple[str, str, str]]] = [
        f"À l'attention de {applicant}",
        f"Votre demande {request} porte sur {len(rows) + len(partly)} archives de {label}, que conserve {agency}.",
    ]
    if given:
        parts += [
            "# Archives communiquées",
            "Une copie vous en est remise, avec ses empreintes.",
            [(title, aip, why) for title, aip, _, why in given],
        ]
    if partly:
        parts += [
            "# Archives communiquées en partie",
            "Une copie vous en est remise, sans les mentions qui ne sont pas communicables (Code des relations entre "
            "le public et l'administration, L311-7). L'archive elle-même n'est pas modifiée.",
            partly,
        ]
    if kept:
        parts += [
            "# Archives qui ne peuvent pas vous être communiquées aujourd'hui",
            [(title, aip, why) for title, aip, _, why in kept],
        ]
    if kept or partly:
        parts += [RECOURSE, DEROGATION]
    return _build_letter(f"Réponse à la demande {request}", f"Le {day:%d/%m/%Y}", parts, request)


def derogation(
    request: str,
    label: str,
    agency: str,
    day: date,
    applicant: str,
    reason: str,
    rows: Sequence[tuple[str, str, str]],
) -> bytes:
    """The request to read before the delays end, for the administration des archives.

    Args:
        rows: of each archive: title, identifier, and what keeps it from being read.
    """
    parts: list[str | Sequence[tuple[str, str, str]]] = [
        f"Demandeur : {applicant}",
        f"Documents émanant de {label}, conservés par {agency}.",
        f"Intérêt de la consultation : {reason}",
        rows,
        "# Accord de l'autorité dont émanent les documents, et décision",
        f"La décision porte sur cette demande et nulle autre : citez {request}. Réponse dans les deux mois de son "
        "enregistrement (L213-3, I).",
        DISCRETION,
    ]
    title = "Demande de consultation avant l'expiration des délais (Code du patrimoine, L213-3)"
    return _build_letter(title, f"Demande {request}, le {day:%d/%m/%Y}", parts, request)


def _build_letter(title: str, under: str, parts: Sequence[str | Sequence[tuple[str, str, str]]], mark: str) -> bytes:
    """A page of parts: texts, titles (« # … »), and lists of archives. The mark is at the foot of each page."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.platypus import LongTable, Paragraph, Spacer

    body = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13, spaceBefore=2 * mm)
    small = ParagraphStyle("small", parent=body, fontSize=7.5, leading=9.5, spaceBefore=0, splitLongWords=1)
    head = ParagraphStyle("head", fontName="Helvetica-Bold", fontSize=14, leading=19, textColor=HexColor("#14306b"))
    section = ParagraphStyle("section", parent=head, fontSize=11, leading=20, spaceBefore=3 * mm)

    def text(value: str, style: ParagraphStyle = body) -> Paragraph:
        return paragraph(value, style)

    def build_table(rows: Sequence[tuple[str, str, str]]) -> LongTable:
        cells: list[list[Any]] = [["N°", "Archive", "Communication"]]
        cells += [
            [text(str(number), small), [text(name, small), text(aip, small)], text(why, small)]
            for number, (name, aip, why) in enumerate(rows, 1)
        ]
        table = LongTable(cells, colWidths=[11 * mm, 88 * mm, 70.8 * mm], repeatRows=1)
        table.setStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.4, HexColor("#b8c0cf")),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, 0), HexColor("#f3f5f9")),
                ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 7.5),
            ]
        )
        return table

    story: list[Any] = [text(title, head), text(under)]
    for part in parts:
        if isinstance(part, str):
            story.append(text(part[2:], section) if part.startswith("# ") else text(part))
        else:
            story += [Spacer(1, 2 * mm), build_table(part), Spacer(1, 2 * mm)]
    return built(story, f"Demande {mark}", title=title, author="Archives")
