"""What was done in each dossier, with names."""

from django.db import migrations, models
from django.db.models import deletion
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0002_dossier_annonce"), ("creatic_accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Geste",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quand", models.DateTimeField(default=timezone.now)),
                ("compte", models.BigIntegerField(null=True)),
                ("identifiant", models.CharField(max_length=150)),
                ("qui", models.CharField(max_length=200)),
                ("quoi", models.CharField(max_length=60)),
                ("de", models.CharField(blank=True, max_length=60)),
                ("vers", models.CharField(max_length=60)),
                ("motif", models.TextField(blank=True)),
                ("note", models.TextField(blank=True)),
                (
                    "dossier",
                    models.ForeignKey(
                        on_delete=deletion.CASCADE, related_name="gestes", to="creatic_parapheur.dossier"
                    ),
                ),
            ],
            options={"ordering": ("pk",)},
        ),
    ]
