"""Where an absence counts: in the institution of who noted it. Those of before count wherever the person passes
a step.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0009_lettre")]

    operations = [
        migrations.AddField(
            "Absence", "commune", models.CharField(max_length=80, blank=True, default="", db_index=True)
        )
    ]
