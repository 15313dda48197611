"""Dossiers and absences."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import deletion


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("document_states", "0042_alter_workflowinstancelogentry_transition"),
        ("documents", "0097_clear_inactive_document_version_active"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Absence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("du", models.DateField()),
                ("au", models.DateField()),
                ("annulee", models.BooleanField(default=False)),
                ("saisie", models.DateTimeField(auto_now_add=True)),
                (
                    "personne",
                    models.ForeignKey(
                        on_delete=deletion.CASCADE,
                        related_name="absences",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "suppleant",
                    models.ForeignKey(
                        on_delete=deletion.CASCADE,
                        related_name="suppleances",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("du",),
            },
        ),
        migrations.CreateModel(
            name="Dossier",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("commune", models.CharField(db_index=True, max_length=80)),
                ("circuit", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=200, unique=True)),
                ("objet", models.CharField(max_length=500)),
                ("numero", models.CharField(blank=True, max_length=60)),
                ("matiere", models.CharField(blank=True, max_length=14)),
                ("date", models.DateField()),
                ("echeance", models.DateField(blank=True, null=True)),
                ("etat", models.CharField(db_index=True, max_length=30)),
                ("depuis", models.DateTimeField()),
                ("par", models.CharField(max_length=200)),
                ("motif", models.TextField(blank=True)),
                (
                    "auteur",
                    models.ForeignKey(
                        null=True,
                        on_delete=deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "document",
                    models.OneToOneField(on_delete=deletion.CASCADE, related_name="dossier", to="documents.document"),
                ),
                (
                    "fichier",
                    models.ForeignKey(on_delete=deletion.RESTRICT, related_name="+", to="documents.documentfile"),
                ),
                (
                    "instance",
                    models.OneToOneField(
                        on_delete=deletion.RESTRICT,
                        related_name="dossier",
                        to="document_states.workflowinstance",
                    ),
                ),
                (
                    "origine",
                    models.ForeignKey(on_delete=deletion.RESTRICT, related_name="+", to="documents.documentfile"),
                ),
            ],
            options={
                "ordering": ("depuis",),
            },
        ),
    ]
