"""A page about a document is for who may see it, and its files come from who may give them.

Mayan asks that of most of its pages, and of others only of what they list: their title told everybody what a document
is called, as acts are by their subject. And it keeps a file that the API is given before it asks whose document it is
for: what was refused stayed on everybody's disk for a week.
"""

from __future__ import annotations

from typing import Any


def keep() -> None:
    """Have what a page, or a call, is about be found by who may see it, where nothing else is asked of it, and a file
    be kept once it may be given."""
    from mayan.apps.acls.models import AccessControlList
    from mayan.apps.documents.api_views.document_file_api_views import APIDocumentFileListView
    from mayan.apps.documents.models import Document
    from mayan.apps.documents.permissions import permission_document_file_new, permission_document_view
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

    create = APIDocumentFileListView.create

    def asked_first(view: Any, request: Any, *given: Any, **named: Any) -> Any:
        view.get_document(permission=permission_document_file_new)
        return create(view, request, *given, **named)

    APIDocumentFileListView.create = asked_first
