"""Kind of a contract, and when its consultation was begun: they tell which threshold counts (CGCT, D2131-5-1)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0011_lot")]

    operations = [
        migrations.AddField("Dossier", "contrat", models.CharField(max_length=20, blank=True, default="")),
        migrations.AddField("Dossier", "consultation", models.DateField(null=True, blank=True)),
    ]
