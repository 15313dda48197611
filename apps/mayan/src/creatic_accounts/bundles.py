"""Files that somebody downloads together: Mayan copies them all, on the disk where everybody's documents are."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum

from .guard import ChangeDeniedError

MAX_BUNDLE_BYTES = 2_000_000_000
"""Bytes of one bundle."""
MAX_BUNDLES_PER_USER = 3
"""Bundles of one person: the oldest goes when another one is made. Documents are where they were."""


def keep() -> None:
    """Bound what a person has copied."""
    from mayan.apps.document_downloads.classes import DocumentFileCompressor
    from mayan.apps.document_downloads.views import DocumentDownloadView
    from mayan.apps.storage.models import DownloadFile

    ask, make = DocumentDownloadView.view_action, DocumentFileCompressor.compress_to_download_file

    def asked(view: Any, form: Any = None) -> Any:
        chosen = [one["document_file_id"] for one in form.cleaned_data if one["include"]]
        size = view.get_object_list().filter(pk__in=chosen).aggregate(all=Sum("size"))["all"] or 0
        if size > MAX_BUNDLE_BYTES:
            raise ChangeDeniedError(
                f"ces fichiers font ensemble {size / 1e9:.1f} Go, {MAX_BUNDLE_BYTES / 1e9:.0f} Go se "
                "téléchargent à la fois. "
                "À faire : choisissez moins de documents, en plusieurs fois"
            )
        return ask(view, form=form)

    def made(bundle: Any, *given: Any, user: Any = None, **named: Any) -> Any:
        for old in DownloadFile.objects.filter(user=user).order_by("-datetime")[MAX_BUNDLES_PER_USER - 1 :]:
            old.delete()
        return make(bundle, *given, user=user, **named)

    DocumentDownloadView.view_action, DocumentFileCompressor.compress_to_download_file = asked, made
