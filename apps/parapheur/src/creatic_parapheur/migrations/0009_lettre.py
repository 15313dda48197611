"""Who was told of an arrival, while another is still tried."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0008_montant")]

    operations = [
        migrations.CreateModel(
            name="Lettre",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("compte", models.BigIntegerField()),
                ("depuis", models.DateTimeField()),
                (
                    "dossier",
                    models.ForeignKey(
                        "creatic_parapheur.Dossier",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lettres",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("dossier", "compte", "depuis"), name="creatic_parapheur_lettre_unique"
                    )
                ]
            },
        ),
    ]
