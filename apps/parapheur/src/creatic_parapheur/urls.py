"""Addresses of the pages and of the API."""

from __future__ import annotations

from django.urls import include, path, re_path

from . import api, pages, poste

_pages = [
    path("", pages.ToDo.as_view(), name="a_traiter"),
    path("dossiers/", pages.Dossiers.as_view(), name="dossiers"),
    path("lots/<uuid:lot>/", pages.OneLot.as_view(), name="lot"),
    path("lots/<uuid:lot>/etat/", pages.LotState.as_view(), name="lot_etat"),
    path("dossiers/<int:number>/", pages.OneDossier.as_view(), name="dossier"),
    path("dossiers/<int:number>/fichier/", pages.LastFile.as_view(), name="fichier"),
    path("dossiers/<int:number>/pieces/<int:piece>/", pages.OnePiece.as_view(), name="piece"),
    path("dossiers/<int:number>/donnees/", pages.EssentialData.as_view(), name="donnees"),
    path("deposer/", pages.Deposit.as_view(), name="deposer"),
    path("rediger/", pages.Drafting.as_view(), name="rediger"),
    path("absences/", pages.Absences.as_view(), name="absences"),
    path("delegations/", pages.Delegations.as_view(), name="delegations"),
]
urlpatterns = [
    path("parapheur/", include(_pages)),
    # For the program of PCs, which has no session.
    path("poste/lots/<uuid:lot>", poste.Fetch.as_view(), name="poste"),
    path("poste/lots/<uuid:lot>/certificat", poste.Certify.as_view(), name="poste_certificat"),
    path("poste/lots/<uuid:lot>/signatures", poste.Receive.as_view(), name="poste_signatures"),
]
api_urls = [
    path("creatic/dossiers/", api.Dossiers.as_view(), name="creatic-dossiers"),
    path("creatic/dossiers/<int:number>/", api.OneDossier.as_view(), name="creatic-dossier"),
    path("creatic/dossiers/<int:number>/fichier/", api.LastFile.as_view(), name="creatic-fichier"),
    path("creatic/dossiers/<int:number>/historique/", api.History.as_view(), name="creatic-historique"),
    path("creatic/dossiers/<int:number>/pieces/", api.Pieces.as_view(), name="creatic-pieces"),
    path("creatic/dossiers/<int:number>/pieces/<int:piece>/", api.OnePiece.as_view(), name="creatic-piece"),
    path("creatic/dossiers/<int:number>/etat/", api.State.as_view(), name="creatic-etat"),
    re_path(
        r"^creatic/dossiers/(?P<number>[0-9]+)/(?P<wish>controler|viser|signer|refuser|reprendre|completer)/$",
        api.Act.as_view(),
        name="creatic-geste",
    ),
]
