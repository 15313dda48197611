"""Delegations with their arrêté; who signs, chosen when a document is deposited; absences noted by somebody else.

What was there before has none of it: the step's own rules tell who signs.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("creatic_parapheur", "0005_dossier_transmission"),
    ]

    operations = [
        migrations.CreateModel(
            name="Delegation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("commune", models.CharField(max_length=80, db_index=True)),
                ("qualite", models.CharField(max_length=150)),
                ("fondement", models.CharField(max_length=10)),
                ("arrete", models.CharField(max_length=60)),
                ("arrete_date", models.DateField()),
                ("matieres", models.CharField(max_length=500, blank=True, default="")),
                ("circuits", models.CharField(max_length=100, blank=True, default="")),
                ("du", models.DateField()),
                ("au", models.DateField(null=True, blank=True)),
                ("retiree", models.DateField(null=True, blank=True)),
                ("retiree_par", models.CharField(max_length=200, blank=True, default="")),
                ("saisie", models.DateTimeField(auto_now_add=True)),
                ("saisie_par", models.CharField(max_length=200)),
                ("saisie_compte", models.BigIntegerField(null=True)),
                (
                    "personne",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="delegations",
                    ),
                ),
            ],
            options={"ordering": ("du", "pk")},
        ),
        migrations.AddField("absence", "raison", models.CharField(max_length=300, blank=True, default="")),
        migrations.AddField("absence", "qualite", models.CharField(max_length=150, blank=True, default="")),
        migrations.AddField("absence", "saisie_par", models.CharField(max_length=200, blank=True, default="")),
        migrations.AddField("absence", "saisie_compte", models.BigIntegerField(null=True)),
        migrations.AddField("absence", "annulee_par", models.CharField(max_length=200, blank=True, default="")),
        migrations.AddField("dossier", "signataire", models.CharField(max_length=150, blank=True, default="")),
        migrations.AddField("dossier", "qualite", models.CharField(max_length=500, blank=True, default="")),
        migrations.AddField(
            "dossier",
            "delegation",
            models.ForeignKey(
                "creatic_parapheur.Delegation",
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="+",
            ),
        ),
        migrations.AddField(
            "dossier",
            "absence",
            models.ForeignKey(
                "creatic_parapheur.Absence",
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="+",
            ),
        ),
    ]
