"""A form as its fields are drawn: of a field, browsers show the value, printers the drawing, others what they like.

Some programs (LibreOffice) ask readers to draw each field anew: every reader then does it in its own way.
"""

from __future__ import annotations

from pathlib import Path

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from .files import open_pdf


class MissingAppearanceError(Exception):
    """A field has no drawing."""


def settle(path: Path, target: Path) -> bool:
    """Take away the mark that asks for new drawings: those that the document has are its own.

    Returns:
        Whether there was one; nothing is written otherwise.

    Raises:
        Undrawn: a field would be lost, as nothing draws it.
    """
    with open_pdf(path) as (stream, reader):
        try:
            asks = bool(reader.root["/AcroForm"]["/NeedAppearances"])
        except KeyError:
            asks = False
        if not asks:
            return False
        for number in range(reader.xrefs.total_revisions):
            for link in reader.xrefs.explicit_refs_in_revision(number):
                one = reader.get_object(link)
                if isinstance(one, generic.DictionaryObject) and one.get("/Subtype") == "/Widget" and "/AP" not in one:
                    raise MissingAppearanceError
        writer = IncrementalPdfFileWriter(stream)
        form = writer.root["/AcroForm"]
        del form["/NeedAppearances"]
        writer.update_container(form)
        with target.open("wb") as output:
            writer.write(output)
        return True
