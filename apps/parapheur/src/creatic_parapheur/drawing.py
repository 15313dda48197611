"""An act of a draft as PDF, drawn by Debian's WeasyPrint in a process of its own, within bounds of memory and time.

What people wrote is escaped: the page has no address, hence nothing is fetched to draw it. It names no author.
"""

from __future__ import annotations

import html
import os
import string
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from creatic_agent.writing import french_date

from .drafting import Draft
from .refusal import RefusedError

PROGRAM = "/usr/bin/weasyprint"
_ACT_TEMPLATE_PATH = Path(__file__).with_name("acte.html")
_MAX_MEMORY_BYTES = 800_000_000  # bytes of address space
_MAX_CPU_SECONDS = 30  # of processor
_RENDER_TIMEOUT_SECONDS = 90
_QUEUE_TIMEOUT_SECONDS = 20  # seconds for one's turn
_FEW = threading.BoundedSemaphore(2)  # drawn at a time, in a process of the application
_RENDER_TIMEOUT_MESSAGE = (
    "la mise en page du document ne répond pas, et rien n'a été changé. À faire : recommencez dans quelques minutes ; "
    "si cela dure, prévenez le groupement"
)


@dataclass(frozen=True)
class Whose:
    """Whose act it is, and who signs.

    Attributes:
        body: « Commune de Loos », or the name of an entity.
        place: where it is signed.
        authority: who decides, in words: « Le maire ».
        signatory: name and quality of who signs, which stand on the act (CRPA, L212-1).
    """

    body: str
    place: str
    authority: str
    signatory: str


def page(draft: Draft, whose: Whose, number: str) -> str:
    """The act as HTML.

    Args:
        number: in its register; "" for what is not sent yet, which says so.
    """
    plain = html.escape
    word = draft.model.word
    heading = f"{word} n° {number}" if number else f"{word} (projet, sans numéro)"
    return string.Template(_ACT_TEMPLATE_PATH.read_text(encoding="utf-8")).substitute(
        title=plain(heading),
        foot=plain(f"{number or 'Projet'} – page "),
        draft="" if number else '<div class="draft">PROJET</div>',
        body=plain(whose.body),
        heading=plain(heading),
        subject=plain(draft.subject),
        authority=plain(whose.authority),
        visas=_render_paragraphs("Vu ", draft.visas, " ;"),
        grounds=_render_paragraphs("Considérant ", draft.grounds, " ;"),
        decides="DÉCIDE" if draft.model.is_decision else "ARRÊTE",
        articles="\n".join(
            f'<h2>Article {"1er" if rank == 1 else rank}</h2>\n<p class="lines">{plain(text)}</p>'
            for rank, text in enumerate(draft.articles, 1)
        ),
        place=plain(whose.place),
        day=french_date(draft.day),
        signatory=plain(whose.signatory),
    )


def _render_paragraphs(begins: str, texts: Iterable[str], ends: str) -> str:
    return "\n".join(f'<p class="lines">{begins}{html.escape(one)}{ends}</p>' for one in texts)


def draw(draft: Draft, whose: Whose, number: str = "") -> bytes:
    """The act as PDF. Arguments: see `page`.

    Raises:
        Refused: it cannot be drawn now.
    """
    text = page(draft, whose, number).encode()
    if not _FEW.acquire(timeout=_QUEUE_TIMEOUT_SECONDS):
        raise RefusedError(_RENDER_TIMEOUT_MESSAGE, 503)
    try:
        done = subprocess.run(
            ["prlimit", f"--as={_MAX_MEMORY_BYTES}", f"--cpu={_MAX_CPU_SECONDS}",
             os.environ.get("CREATIC_WEASYPRINT", PROGRAM), "--quiet", "--encoding", "utf-8", "-", "-"],
            input=text,
            capture_output=True,
            timeout=_RENDER_TIMEOUT_SECONDS,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip # a call by its parts
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(_RENDER_TIMEOUT_MESSAGE, 503) from error
    finally:
        _FEW.release()
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        raise RefusedError(_RENDER_TIMEOUT_MESSAGE, 503)
    return done.stdout
