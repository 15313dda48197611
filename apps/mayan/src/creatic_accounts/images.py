"""Images of documents' pages, drawn as Mayan's pages ask for them and no other way.

Mayan draws whatever an address says: a zoom of a thousand, a blur, forty steps one after another. It does so in the few
processes that show everybody's documents, and in the memory that they share. Whoever asks waits in a thread of those
that answer everybody, for a page that may take as long as its file makes it: one at a time for a person, as two
processes draw, and never in so many threads that nothing else is answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .places import Places

# What pages ask of an image, each once: by how much at most, and by how much at a time.
STEPS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "resize": {"width": (10_000, 1), "height": (10_000, 1)},  # which only makes it smaller
    "rotate": {"degrees": (360, 90)},  # which makes it no larger
    "zoom": {"percent": (300, 1)},  # Mayan's own bound, of its buttons
}
_DEFAULTS = (None, "", "None")  # of Mayan's own, as its pages write them
PIXELS = 90_000_000
"""An image is enlarged to this at most: an A4 page, as Mayan draws it, three times."""


def problem(asked: Sequence[Mapping[str, Any]]) -> str | None:
    """Say in French what is not drawn of what is asked of an image; nothing where all of it is.

    Args:
        asked: steps, each with its name and its arguments.
    """
    names = [str(step.get("name")) for step in asked]
    if other := [name for name in names if name not in STEPS]:
        return f"« {other[0][:40]} » ne se demande pas d'une image"
    if len({*names}) < len(names):
        return "une image s'agrandit, se réduit et se tourne une fois"
    for name, step in zip(names, asked, strict=True):
        for argument, value in step.get("arguments", {}).items():
            if value in _DEFAULTS:
                continue
            bounds = STEPS[name].get(argument)
            if bounds is None or not _is_within(value, *bounds):
                return f"{name}, {argument[:40]} : « {str(value)[:40]} » n'est pas un nombre, ou est trop grand"
    return None


def _is_within(value: Any, most: float, step: float) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return abs(number) <= most and number % step == 0


def enlarged(percent: float, size: tuple[int, int]) -> float:
    """Give how much an image of a size is enlarged, of what is asked: a plan is not drawn larger than memory."""
    return min(percent, max(100.0, 100 * math.sqrt(PIXELS / max(1, size[0] * size[1]))))


def keep() -> None:
    """Have every address that gives an image look at what it is asked first, and at who asks."""
    from mayan.apps.converter.api_exceptions import AppImageBusy
    from mayan.apps.converter.api_view_mixins import APIImageViewMixin
    from mayan.apps.converter.settings import setting_image_generation_retry_delay
    from mayan.apps.converter.transformations import TransformationZoom
    from mayan.apps.converter.utils import IndexedDictionary
    from rest_framework.exceptions import ValidationError

    draw, enlarge = APIImageViewMixin.set_cache_file, TransformationZoom.execute_on
    generate, drawing = APIImageViewMixin.set_cache_file_generate, Places()

    def bounded(step: Any, image: Any) -> Any:
        step.percent = enlarged(float(step.percent or 100), image.size)
        return enlarge(step, image)

    def checked(view: Any, request: Any) -> None:
        try:
            said = problem(IndexedDictionary(dictionary=request.GET).as_dictionary_list())
        except ValueError:
            said = "ce qui est demandé ne se lit pas"
        if said:
            raise ValidationError({"detail": f"{said[:1].upper()}{said[1:]}. À faire : rouvrez la page du document."})
        draw(view, request)

    def in_turn(view: Any, maximum_layer_order: Any, request: Any, transformation_dictionary_list: Any) -> None:
        with drawing.place(request.user.pk) as has:
            if not has:  # which Mayan's pages ask for again by themselves
                raise AppImageBusy(wait=setting_image_generation_retry_delay.value)
            generate(view, maximum_layer_order, request, transformation_dictionary_list)

    APIImageViewMixin.set_cache_file, TransformationZoom.execute_on = checked, bounded
    APIImageViewMixin.set_cache_file_generate = in_turn
