"""When the people awaited were last told of a dossier."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0001_initial")]

    operations = [
        migrations.AddField("dossier", "annonce", models.DateTimeField(null=True, blank=True)),
    ]
