"""A page about a document is for who may see it.

Mayan asks that of most of its pages, and of others only of what they list: their title told everybody what a document
is called, as acts are by their subject.
"""

from __future__ import annotations

from typing import Any


def keep() -> None:
    """Have what a page, or a call, is about be found by who may see it, where nothing else is asked of it."""
    from mayan.apps.acls.models import AccessControlList
    from mayan.apps.documents.models import Document
    from mayan.apps.documents.permissions import permission_document_view
    from mayan.apps.views.view_mixins import ExternalObjectBaseMixin

    find = ExternalObjectBaseMixin.get_external_object_queryset_filtered

    def found(view: Any) -> Any:
        every = find(view)
        if view.get_external_object_permission() or not issubclass(every.model, Document):
            return every
        return AccessControlList.objects.restrict_queryset(
            permission=permission_document_view, queryset=every, user=view.request.user
        )

    ExternalObjectBaseMixin.get_external_object_queryset_filtered = found
