"""Amount of a contract: under a threshold it is not transmitted (CGCT, L2131-2, I, 4°)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0007_piece")]

    operations = [
        migrations.AddField(
            "Dossier", "montant", models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
        )
    ]
