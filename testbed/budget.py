"""A budget as TotEM writes and seals it (DocumentBudgetaire), by no canonicalizer of a library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

NAMESPACE = "http://www.minefi.gouv.fr/cp/demat/docbudgetaire"
LINES = (
    # account, level of the vote, D or R, amount voted, left over of the year before
    ("6411", "012", "D", "312000.00", "0"),
    ("60611", "011", "D", "98000.50", "0"),
    ("023", "023", "D", "40000.00", "0"),
    ("73111", "73", "R", "450000.50", "0"),
    ("021", "021", "R", "40000.00", "0"),
    ("1641", "16", "R", "60000.00", "0"),
    ("2151", "21", "D", "75000.00", "25000.00"),
)


def make(
    lines: Sequence[tuple[str, str, str, str, str]] = LINES,
    *,
    siret: str = "21590266900011",
    kind: str = "01",
    year: str = "2026",
    version: str = "43",
    block: str = "",
    before: str = "",
    sealed: bool = True,
) -> bytes:
    """Write a budget.

    Args:
        lines: budgetary lines.
        kind, year, version: NatDec, Exer, VersionSchema.
        block: what stands between Exer and BudgPrec (ProjetBudget, DteDec).
        before: what stands between NatDec and Exer (NumDec).
        sealed: it bears the seal of its content.
    """
    rows = "".join(
        f'<LigneBudget><Nature V="{nature}"/><ContNat V="{level}"/><CodRD V="{way}"/>'
        f'<MtRARPrec V="{left}"/><MtPrev V="{amount}"/><OpBudg V="0"/></LigneBudget>\n'
        for nature, level, way, amount, left in lines
    )
    text = f"""<DocumentBudgetaire xmlns="{NAMESPACE}">
<VersionSchema V="{version}"/>
@
<EnTeteDocBudgetaire><DteStr V="2026-01-10"/><LibellePoste V="SGC Seclin"/><IdPost V="059123"/>
<LibelleColl V="Gondecourt &amp; hameaux"/><IdColl V="{siret}"/><NatCEPL V="Commune"/></EnTeteDocBudgetaire>
<Budget><EnTeteBudget><LibelleEtab V="Gondecourt"/><CodColl V="123"/><CodBud V="00"/>
<Nomenclature V="M57-M57"/></EnTeteBudget>
<BlocBudget><NatDec V="{kind}"/>{before}<Exer V="{year}"/>{block}<BudgPrec V="1"/><ReprRes V="1"/>
<NatFonc V="1"/><CodTypBud V="P"/></BlocBudget><InformationsGenerales/>
{rows}</Budget>
</DocumentBudgetaire>"""
    # As canonical XML has it: one attribute an element, and no element closes itself.
    canonical = re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", text.replace("@", "", 1))
    digest = hashlib.sha1(canonical.encode(), usedforsecurity=False).hexdigest()
    seal = f'<Scellement md5="{"0" * 32}" sha1="{digest}" date="2026-01-12T10:00:00"/>' if sealed else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text.replace("@", seal, 1)}'.encode()
