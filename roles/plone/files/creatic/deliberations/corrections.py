"""What is put right in the portal's own packages, at start."""

from __future__ import annotations

from typing import Any


def apply(_event: Any) -> None:
    """No timestamp is asked of an outside server, no tutelle is spoken of; a new publication replaces none."""
    from collective.timestamp.behaviors.timestamp import ITimestampableDocument
    from plonemeeting.portal.core.behaviors.supersede import ISupersede
    from plonemeeting.portal.core.content.publication import IPublication

    ITimestampableDocument["enable_timestamping"].default = False
    IPublication["subject_to_authority"].default = None
    ISupersede["supersede"].default = None
