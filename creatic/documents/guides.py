# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The guides as a site that people search: mkdocs-material builds it, the pages of the supervision show it.

Design notes stay out, they are for who develops; a link to a file of the clone becomes its words. No page has a script
of its own: what mkdocs-material writes in each goes into files, so that the site needs no exception to the policy of
the pages around it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from logging.handlers import BufferingHandler
from pathlib import Path

CONFIG = Path(__file__).with_name("guides.yml")
_GUIDE_ASSETS = (CONFIG.with_suffix(".css"), CONFIG.with_suffix(".js"))
_EXTERNAL_LINK = re.compile(r"\[([^\]]*)\]\((?:\.\./|design/)[^)]*\)")
_INLINE = re.compile(r"<script>(.+?)</script>", re.DOTALL)
_SCRIPTS = "assets/javascripts"
# What the theme leaves without a name, for who hears the page (RGAA 11.1): names of elements, by what stands before.
_ELEMENT_LABELS = {
    'role="dialog"': "Recherche",
    'id="__search"': "Recherche",
    'id="__toc"': "Sommaire",
    'id="__drawer"': "Menu",
}
_INDEX_INTRODUCTION = """# Guides

Cherchez un mot en haut de la page, ou ouvrez un guide.

"""


def site(docs: Path, folder: Path) -> Path:
    """Build the site of the guides, unless it is there already; gives its folder.

    Args:
        docs: the clone's ``docs``.
        folder: of the control node's state; the site is a folder in it, of which the name is what it was made of.

    Raises:
        RuntimeError: a guide has a link that leads nowhere, or is missing (French); nothing is changed.
    """
    guides = {
        path.name: _EXTERNAL_LINK.sub(r"\1", path.read_text(encoding="utf-8")) for path in sorted(docs.glob("*.md"))
    }
    pictures = {path.name: path.read_bytes() for path in sorted((docs / "images").glob("*")) if path.is_file()}
    made_of = [
        version("mkdocs-material"),
        *(path.read_text(encoding="utf-8") for path in (CONFIG, *_GUIDE_ASSETS, Path(__file__))),
    ]
    named = hashlib.sha256(repr((made_of, guides, pictures)).encode()).hexdigest()[:16]
    target = folder / named
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, built = Path(scratch, "docs"), Path(scratch, "site")
        (source / "images").mkdir(parents=True)
        titles = {name: text.partition("\n")[0].lstrip("# ") for name, text in guides.items()}
        first = _INDEX_INTRODUCTION + "\n".join(f"- [{title}]({name})" for name, title in titles.items()) + "\n"
        for name, text in {"index.md": first, **guides}.items():
            (source / name).write_text(text, encoding="utf-8")
        for path in _GUIDE_ASSETS:
            shutil.copy(path, source)
        for name, content in pictures.items():
            (source / "images" / name).write_bytes(content)
        _build_site(source, built)
        for page in built.rglob("*.html"):
            _amend_page(page, built)
        for old in folder.iterdir():
            if old != Path(scratch):
                shutil.rmtree(old, ignore_errors=True)
        built.rename(target)
    return target


def _build_site(source: Path, built: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    listener = BufferingHandler(sys.maxsize)
    listener.setLevel(logging.WARNING)
    logger = logging.getLogger("mkdocs")
    logger.addHandler(listener)
    try:
        # Not with its own "strict", which leaves what it built without a word on which page is wrong.
        build(load_config(str(CONFIG), docs_dir=str(source), site_dir=str(built)))
    except MkDocsException as error:
        logger.warning(str(error))
    finally:
        logger.removeHandler(listener)
    if told := [record.getMessage() for record in listener.buffer]:
        raise RuntimeError(f"Guides : {' ; '.join(told)}. À faire : corrigez docs/ ou {CONFIG.name}, puis relancez")


def _amend_page(page: Path, built: Path) -> None:
    """Put a page's own scripts into files, each once, and name what has no name."""

    def apart(found: re.Match[str]) -> str:
        name = f"page-{hashlib.sha256(found[1].encode()).hexdigest()[:16]}.js"
        (built / _SCRIPTS / name).write_text(found[1], encoding="utf-8")
        up = "../" * len(page.relative_to(built).parents[1:])
        return f'<script src="{up}{_SCRIPTS}/{name}"></script>'

    text = _INLINE.sub(apart, page.read_text(encoding="utf-8"))
    for mark, name in _ELEMENT_LABELS.items():
        text = text.replace(mark, f'{mark} aria-label="{name}"', 1)
    page.write_text(text, encoding="utf-8")
