"""Accounts that are known."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import deletion


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Known",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("login", models.CharField(max_length=150, unique=True)),
                ("commune", models.CharField(blank=True, max_length=80)),
                (
                    "user",
                    models.OneToOneField(on_delete=deletion.CASCADE, related_name="known", to=settings.AUTH_USER_MODEL),
                ),
            ],
        ),
    ]
