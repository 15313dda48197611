"""What Mayan renders as a template, kept behind the doors too: at what is stored, and at what renders what is asked.

A template reaches whatever its context does, accounts with their digests among it. So what is stored to be rendered is
plain text, or one of the few expressions that the rollout writes; what renders a request's own text renders nothing.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from django.apps import apps
from django.db.models.signals import pre_save
from mayan.apps.backends.model_mixins import BackendModelMixin
from mayan.apps.databases.model_mixins import ModelMixinConditionField

from .guard import ChangeDeniedError

_STORED = {
    "document_indexing.IndexTemplateNode": ("expression",),
    "document_states.WorkflowTransitionField": ("default", "lookup"),
    "file_metadata.DocumentTypeDriverConfiguration": ("arguments",),
    "linking.SmartLink": ("dynamic_label",),
    "linking.SmartLinkCondition": ("expression",),
    "metadata.MetadataType": ("default", "lookup"),
    "web_links.WebLink": ("template",),
}
# The levels of the communes' indexes (collection's `ged`).
_ALLOWED_TEMPLATE_PATTERN = re.compile(
    r"\{\{ document\.(document_type\.label|datetime_created\.year|metadata_value_of\.[a-z][a-z0-9_]*) \}\}"
)
_SYNTAX = re.compile(r"\{[{%#]")


@functools.cache
def stored() -> dict[Any, tuple[str, ...]]:
    """Fields that Mayan renders, by model: those above, any condition, and what any action or source is told."""
    found: dict[Any, tuple[str, ...]] = {}
    for model in apps.get_models():
        names = [name for label, those in _STORED.items() if issubclass(model, apps.get_model(label)) for name in those]
        names += ["condition"] * issubclass(model, ModelMixinConditionField)
        names += ["backend_data"] * issubclass(model, BackendModelMixin)
        if names:
            found[model] = tuple(names)
    return found


def keep_plain(sender: Any, instance: Any, **_options: Any) -> None:
    """Before something that is rendered is stored."""
    for name in stored()[sender]:
        value = str(getattr(instance, name) or "")
        if _SYNTAX.search(value) and not _ALLOWED_TEMPLATE_PATTERN.fullmatch(value):
            raise ChangeDeniedError(
                f"« {sender._meta.verbose_name} », {name} : Mayan en ferait un gabarit, qui lirait ce qui n'est pas à "
                "vous. À faire : écrivez-le sans {{, {% ni {#"
            )


def _refuse_template(*_given: Any, **_named: Any) -> Any:
    raise ChangeDeniedError(
        "ce qui est demandé ici serait rendu comme un gabarit : personne ne s'en sert. Rien n'a été fait"
    )


def keep() -> None:
    """Keep all of them, and give no template all accounts."""
    from mayan.apps.messaging.model_mixins import MessageBusinessLogicMixin
    from mayan.apps.rest_api.classes import BatchRequestCollection
    from mayan.apps.templating.classes import ModelTemplating
    from mayan.apps.templating.template_backends import TemplateContextEntry

    for model in stored():
        pre_save.connect(keep_plain, sender=model, dispatch_uid=f"creatic_accounts.{model._meta.label}")
    BatchRequestCollection.execute = _refuse_template
    ModelTemplating.do_render = _refuse_template
    MessageBusinessLogicMixin.get_rendered_body = MessageBusinessLogicMixin.get_clean_body
    value = TemplateContextEntry.get_value
    TemplateContextEntry.get_value = lambda entry: () if entry.name in ("users", "groups") else value(entry)
