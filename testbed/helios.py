"""Helios flows for tests, valid for the DGFiP's schema (PES_Aller.xsd, PES V2 5.17)."""

from __future__ import annotations

from collections.abc import Sequence

SIRET = "21590266900011"
_FLOW = """<?xml version="1.0" encoding="ISO-8859-1"?>
<n:PES_Aller xmlns:n="http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/aller"{root}>
  <Enveloppe>
    <Parametres><Version V="2"/><TypFic V="PESALR2"/><NomFic V="{name}"/></Parametres>
    <Emetteur><Sigle V="CREATIC"/><Adresse V="LABO"/></Emetteur>
  </Enveloppe>
  <EnTetePES>
    <DteStr V="2026-01-15"/><IdPost V="059001"/><IdColl V="{siret}"/><CodCol V="123"/><CodBud V="00"/>
  </EnTetePES>
  <PES_DepenseAller>
    <EnTeteDepense><IdVer V="2"/><InfoDematerialisee V="0"/></EnTeteDepense>
{slips}  </PES_DepenseAller>
{pj}</n:PES_Aller>
"""
_SLIP = """    <Bordereau{attribute}>
      <BlocBordereau>
        <Exer V="2026"/><IdBord V="{rank}"/><DteBordEm V="2026-01-15"/><TypBord V="01"/><NbrPce V="1"/>
        <MtBordHT V="120.00"/>
      </BlocBordereau>
{pieces}    </Bordereau>
"""
PIECE = """      <Piece>
        <BlocPiece>
          <InfoPce><IdPce V="832"/><TypPce V="01"/><NatPce V="01"/><Obj V="Réfection de l'école"/></InfoPce>
        </BlocPiece>
        <LigneDePiece>
          <BlocLignePiece>
            <InfoLignePce>
              <IdLigne V="1"/><Nature V="6553"/><LibVir1 V="ECHEANCIER"/><ModRegl V="03"/><TVAIntraCom V="0"/>
              <MtHT V="120.00"/>
            </InfoLignePce>
          </BlocLignePiece>
          <Tiers>
            <InfoTiers><RefTiers V="811"/><CatTiers V="22"/><NatJur V="09"/><Nom V="PAIERIE"/></InfoTiers>
            <Adresse>
              <TypAdr V="1"/><Adr2 V="1 RUE DU BAC"/><CP V="59147"/><Ville V="GONDECOURT"/><CodRes V="0"/>
            </Adresse>
          </Tiers>
        </LigneDePiece>
      </Piece>
"""
_PJ = """  <PES_PJ>
    <EnTetePES_PJ><IdVer V="1"/></EnTetePES_PJ>
    <PJ>
      <Contenu><Fichier MIMEType="application/pdf">{content}</Fichier></Contenu>
      <IdUnique V="PJ1"/><NomPJ V="facture.pdf"/><TypePJ V="003"/><Description V="Facture"/>
    </PJ>
  </PES_PJ>
"""


def flow(
    name: str = "PESALR2_1",
    siret: str = SIRET,
    *,
    root: str = "",
    slips: Sequence[str] = ("B1", "B2"),
    pieces: int = 1,
    pj: str = "",
) -> bytes:
    """A flow of expenses.

    Args:
        name: NomFic.
        root: Id of the flow; none when empty.
        slips: Id of each bordereau; none for those that are empty.
        pieces: mandates in each bordereau.
        pj: an attachment's content in base64; none when empty.
    """
    written = "".join(
        _SLIP.format(attribute=identifier and f' Id="{identifier}"', rank=rank, pieces=PIECE * pieces)
        for rank, identifier in enumerate(slips, 1)
    )
    text = _FLOW.format(
        root=root and f' Id="{root}"', name=name, siret=siret, slips=written, pj=pj and _PJ.format(content=pj)
    )
    return text.encode("iso-8859-1")
