"""How many pages a document has, and what each of them keeps waiting.

A PDF of a kilobyte says that it has as many pages as it likes. For each, Mayan makes a row, an event, entries of an
index that its search does not keep, and a task that reads its text: in the two processes that receive everybody's
documents, and in the queue's memory, which refuses whatever comes once it is full. So a document has so many pages, and
one of them at a time waits to be read: documents take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

MAX_DOCUMENT_PAGES = 5_000
"""Pages of a document that are shown and read: those beyond are in its file, which is kept whole."""


def _limit_page_count(count: Callable[[Any], int]) -> Callable[[Any], int]:
    from mayan.apps.converter.exceptions import PageCountError

    def counted(converter: Any) -> int:
        try:
            return min(MAX_DOCUMENT_PAGES, count(converter))
        except SoftTimeLimitExceeded as error:
            raise PageCountError("ses pages ne se comptent pas à temps") from error

    return counted


def _first_of(pages: Sequence[Any]) -> Callable[[Any], None]:
    """Have the first page read, which has the next one read: what a chord is to Mayan, that puts all in the queue."""
    return lambda _finished: pages[0].apply_async()


def read_in_turn(read: Callable[..., Any]) -> Callable[..., Any]:
    """Have a page read once the one before was taken; what says that all are read comes with the last."""
    from mayan.apps.ocr.tasks import task_document_version_ocr_finished as finished
    from mayan.apps.ocr.tasks import task_document_version_page_ocr_process as task

    def in_turn(document_version_page_id: int, user_id: int | None = None) -> None:
        from django.apps import apps

        page = apps.get_model("documents", "DocumentVersionPage").objects.get(pk=document_version_page_id)
        version = page.document_version
        after = version.pages.filter(page_number__gt=page.page_number).order_by("page_number").first()
        alone = not task.request.group  # of a chord that waited when this came, all pages are queued
        # Before it is read: a page that ends its process ends no other's turn.
        if alone and after and not task.request.retries:
            task.apply_async(kwargs={"document_version_page_id": after.pk, "user_id": user_id})
        read(document_version_page_id=document_version_page_id, user_id=user_id)
        if alone and not after:
            finished.apply_async(kwargs={"results": [], "document_version_id": version.pk, "user_id": user_id})

    return in_turn


def keep() -> None:
    """Bound the pages of documents, and what is queued for each."""
    from mayan.apps.converter.classes import ConverterBase
    from mayan.apps.documents.events import event_document_version_page_created
    from mayan.apps.documents.models import DocumentVersion
    from mayan.apps.dynamic_search import tasks as search
    from mayan.apps.ocr import tasks as ocr

    converter: Any = ConverterBase.get_converter_class()
    converter.get_page_count = _limit_page_count(converter.get_page_count)
    remap = DocumentVersion.pages_remap

    def bounded(version: Any, annotated_content_object_list: Any = None, user: Any = None) -> Any:
        return remap(
            version,
            annotated_content_object_list=list(annotated_content_object_list or ())[:MAX_DOCUMENT_PAGES],
            user=user,
        )

    def nothing(*_given: Any, **_named: Any) -> None:
        """Of what nobody asks for: the search reads the database."""

    DocumentVersion.pages_remap = bounded
    event_document_version_page_created.commit = nothing
    for task in (search.task_index_instance, search.task_deindex_instance, search.task_index_related_instance_m2m):
        task.apply_async = nothing
    ocr.chord = _first_of
    task = ocr.task_document_version_page_ocr_process
    task.run = read_in_turn(task.run)
