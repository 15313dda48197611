"""Addresses: the rollout's API, and those that stand before Mayan's own."""

from __future__ import annotations

from django.urls import path

from . import api, elimination, pages

urlpatterns = [
    path("", pages.Root.as_view()),
    path("authentication/password/change/", pages.Password.as_view()),
    path("authentication/password/change/done/", pages.PasswordDone.as_view()),
    path("api/v4/auth/token/obtain/", api.ObtainToken.as_view()),
    path("api/v4/server_side_events/stream/", api.Events.as_view()),
]
api_urls = [
    path("creatic/comptes/", api.Accounts.as_view(), name="creatic-comptes"),
    path("creatic/comptes/<str:login>/", api.OneAccount.as_view(), name="creatic-compte"),
    path("creatic/eliminations/", elimination.Eliminations.as_view(), name="creatic-eliminations"),
]
