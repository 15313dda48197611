"""Documents are drawn once when they are asked again at once, and never fill the memory of the site."""

from __future__ import annotations

import pytest
from creatic.deliberations import documents


@pytest.mark.parametrize(("signs", "kept"), [(10, 1), (600_000, 0)])
def test_a_document_with_heavy_pictures_is_not_kept(monkeypatch: pytest.MonkeyPatch, signs: int, kept: int) -> None:
    monkeypatch.setattr(documents, "page", lambda _kind, **_given: f"<p>Note</p><!--{'x' * signs}-->")
    documents._drawn.cache_clear()
    assert documents.draw("note").startswith(b"%PDF-")
    assert documents._drawn.cache_info().currsize == kept
