"""What each commune sent, by day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("creatic_accounts", "0002_from_before")]

    operations = [
        migrations.CreateModel(
            name="Sent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("commune", models.CharField(max_length=150)),
                ("day", models.DateField()),
                ("octets", models.BigIntegerField(default=0)),
            ],
            options={"unique_together": {("commune", "day")}},
        ),
    ]
