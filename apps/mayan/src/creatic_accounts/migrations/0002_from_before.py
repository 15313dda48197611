"""Those that were there before this was noted are the rollout's."""

from django.conf import settings
from django.db import migrations


def note(apps, _schema_editor):  # type: ignore[no-untyped-def] # Django's own way
    known = apps.get_model("creatic_accounts", "Known")
    users = apps.get_model(*settings.AUTH_USER_MODEL.split("."))
    for user in users.objects.filter(is_superuser=False):
        known.objects.create(user=user, login=user.username)


class Migration(migrations.Migration):
    dependencies = [("creatic_accounts", "0001_initial")]

    operations = [migrations.RunPython(note, migrations.RunPython.noop)]
