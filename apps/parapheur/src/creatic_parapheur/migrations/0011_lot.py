"""Dossiers that a person signs at once, by the program of their PC."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("creatic_parapheur", "0010_absence_commune"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Lot",
            fields=[
                ("cle", models.UUIDField(primary_key=True, default=uuid.uuid4, serialize=False)),
                ("session", models.CharField(max_length=40)),
                ("secret", models.CharField(max_length=64)),
                ("prise", models.DateTimeField(null=True)),
                ("fin", models.DateTimeField()),
                ("certificats", models.JSONField(default=list)),
                (
                    "personne",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lot",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Demande",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("document", models.BigIntegerField()),
                ("etat", models.CharField(max_length=10, default="attente")),
                ("message", models.TextField(blank=True, default="")),
                ("attente", models.JSONField(null=True)),
                ("valeurs", models.JSONField(default=dict)),
                (
                    "dossier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="creatic_parapheur.dossier"
                    ),
                ),
                (
                    "lot",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="demandes",
                        to="creatic_parapheur.lot",
                    ),
                ),
            ],
            options={
                "ordering": ("pk",),
                "constraints": [
                    models.UniqueConstraint(fields=("lot", "dossier"), name="creatic_parapheur_demande_unique")
                ],
            },
        ),
    ]
