"""Annexes of contracts and suppliers' counter-signatures, kept with their dossier; since when its file is complete.

What was signed before goes on as it did: it is complete.
"""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


def already_signed(apps: Any, _editor: Any) -> None:
    """Contracts that nobody was asked to complete."""
    dossiers = apps.get_model("creatic_parapheur", "Dossier").objects
    before = ("a_controler", "a_viser", "a_signer", "refuse")
    dossiers.filter(circuit="marche").exclude(matiere="").exclude(etat__in=before).update(complet=models.F("depuis"))


class Migration(migrations.Migration):
    dependencies = [("documents", "__first__"), ("creatic_parapheur", "0006_delegation")]

    operations = [
        migrations.CreateModel(
            name="Piece",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("genre", models.CharField(max_length=200)),
                ("nom", models.CharField(max_length=200)),
                ("empreinte", models.CharField(max_length=64)),
                ("document", models.CharField(max_length=64, blank=True, default="")),
                ("signataires", models.CharField(max_length=200, blank=True, default="")),
                ("verdict", models.TextField(blank=True, default="")),
                ("quand", models.DateTimeField(default=django.utils.timezone.now)),
                ("compte", models.BigIntegerField(null=True)),
                ("par", models.CharField(max_length=200)),
                (
                    "dossier",
                    models.ForeignKey(
                        "creatic_parapheur.Dossier",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pieces",
                    ),
                ),
                (
                    "fichier",
                    models.ForeignKey(
                        "documents.DocumentFile",
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="+",
                    ),
                ),
            ],
            options={"ordering": ("pk",)},
        ),
        migrations.AddField("Dossier", "complet", models.DateTimeField(null=True, blank=True)),
        migrations.RunPython(already_signed, migrations.RunPython.noop),
    ]
