"""Essential data of a contract (CCP, R2196-1), as a rédacteur fills them in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0013_acte")]

    operations = [migrations.AddField("Dossier", "essentielles", models.JSONField(default=dict, blank=True))]
