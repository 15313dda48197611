"""Acts that are written here, each with its number of a register."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0012_contrat")]

    operations = [
        migrations.CreateModel(
            name="Acte",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("commune", models.CharField(db_index=True, max_length=80)),
                ("registre", models.CharField(max_length=10)),
                ("annee", models.PositiveSmallIntegerField()),
                ("rang", models.PositiveIntegerField()),
                ("numero", models.CharField(max_length=15)),
                ("date", models.DateField()),
                ("objet", models.CharField(blank=True, max_length=500)),
                ("modele", models.CharField(max_length=40)),
                ("valeurs", models.JSONField(default=dict)),
                ("effet", models.CharField(blank=True, default="", max_length=10)),
                ("quand", models.DateTimeField(default=django.utils.timezone.now)),
                ("par", models.CharField(max_length=200)),
                (
                    "dossier",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="acte",
                        to="creatic_parapheur.dossier",
                    ),
                ),
                (
                    "vise",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="suites",
                        to="creatic_parapheur.dossier",
                    ),
                ),
                ("vise_nom", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={
                "ordering": ("commune", "registre", "annee", "rang"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("commune", "registre", "annee", "rang"), name="creatic_parapheur_acte_unique"
                    )
                ],
            },
        ),
    ]
