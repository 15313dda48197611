"""What who prepares an arrêté says of it: its nature, and whether it goes to the préfecture."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0004_from_log")]

    operations = [
        migrations.AddField("dossier", "nature", models.CharField(max_length=1, blank=True, default="")),
        migrations.AddField("dossier", "transmission", models.CharField(max_length=3, blank=True, default="")),
    ]
