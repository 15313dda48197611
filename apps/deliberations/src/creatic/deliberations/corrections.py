"""What is put right in the portal's own packages, at start."""

from __future__ import annotations

from typing import Any

from creatic.deliberations import sessions


def apply(_event: Any) -> None:
    """No timestamp is asked of outside, no tutelle is spoken of, a new publication replaces none, sessions end."""
    from collective.timestamp.behaviors.timestamp import ITimestampableDocument
    from plonemeeting.portal.core.behaviors.supersede import ISupersede
    from plonemeeting.portal.core.content.publication import IPublication

    ITimestampableDocument["enable_timestamping"].default = False
    IPublication["subject_to_authority"].default = None
    ISupersede["supersede"].default = None
    sessions.bind()
