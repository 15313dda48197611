"""Writes a commune's documents into a folder (`remise`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ... import remise


class Command(BaseCommand):
    """Writes them, and says what could not be given."""

    help = "Écrit dans un dossier vide les documents d'une commune, avec ce que l'on sait d'eux."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose, and where."""
        parser.add_argument("siren", help="SIREN de la commune ou de l'entité, tel que dans son fichier")
        parser.add_argument("dossier", type=Path, help="dossier vide")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write."""
        told = remise.write(options["siren"], options["dossier"])
        self.stdout.write(f"{told['documents']} documents, {told['fichiers']} fichiers")
        if told["defauts"]:
            raise CommandError("\n".join(told["defauts"]))
