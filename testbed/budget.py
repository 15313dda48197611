"""A budget as TotEM writes and seals it (DocumentBudgetaire), by no canonicalizer of a library.

Its seal is what real files bear: over the document without the seal and without the blank that comes after it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

NAMESPACE = "http://www.minefi.gouv.fr/cp/demat/docbudgetaire"
CFU = "http://www.minefi.gouv.fr/cp/demat/doccfu"
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
    as_documented: bool = False,
    unique: bool = False,
) -> bytes:
    """Write a budget.

    Args:
        lines: budgetary lines.
        kind, year, version: NatDec, Exer, VersionSchema.
        block: what stands between Exer and BudgPrec (ProjetBudget, DteDec).
        before: what stands between NatDec and Exer (NumDec).
        sealed: it bears the seal of its content.
        as_documented: the seal counts the blank that comes after it, as the documentation of TScellement has it.
        unique: it is a compte financier unique, of whose whole the seal is.
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
<LibelleColl V="Gondecourt &amp; hameaux, éclairés"/><IdColl V="{siret}"/><NatCEPL V="Commune"/></EnTeteDocBudgetaire>
<Budget><EnTeteBudget><LibelleEtab V="Gondecourt"/><CodColl V="123"/><CodBud V="00"/>
<Nomenclature V="M57-M57"/></EnTeteBudget>
<BlocBudget><NatDec V="{kind}"/>{before}<Exer V="{year}"/>{block}<BudgPrec V="1"/><ReprRes V="1"/>
<NatFonc V="1"/><CodTypBud V="P"/></BlocBudget><InformationsGenerales/>
{rows}</Budget>
</DocumentBudgetaire>"""
    text = _unique(text) if unique else text
    bare = text.replace("@", "", 1) if as_documented else text.replace("@\n", "", 1)
    seal = f'<Scellement {_digests(bare)} date="2026-01-12T10:00:00"/>' if sealed else ""
    return f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{text.replace("@", seal, 1)}'.encode("iso-8859-1")


def _unique(document: str) -> str:
    """The ordonnateur's part and the comptable's, with a line that adds others up and has no account."""
    added = '<LigneBudget calculated="true" id="1"><ChapitreNature V="16"/><MtReal V="1"/></LigneBudget>'
    document = document.replace("</Budget>", f"{added}\n</Budget>")
    return f"""<doccfu:CompteFinancierUnique xmlns:doccfu="{CFU}">
  <DocumentComptable>
    <EnteteComptable><Infos><Exercice V="2026"/><Nomenclature V="M57"/></Infos></EnteteComptable>
    <BudgetComptable><LigneComptable><Compte V="1068"/><SoldeCrediteur V="52000.00"/></LigneComptable></BudgetComptable>
  </DocumentComptable>
  {document}
</doccfu:CompteFinancierUnique>"""


def _digests(text: str) -> str:
    """Attributes of a seal. As canonical XML has it: no element closes itself, attributes stand in their order."""
    canonical = re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", text).encode()
    md5, sha1 = (hashlib.new(name, canonical, usedforsecurity=False).hexdigest() for name in ("md5", "sha1"))
    return f'md5="{md5}" sha1="{sha1}"'
