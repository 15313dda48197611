"""What Mayan's log holds of the dossiers that were there before their own history."""

import json

from django.db import migrations


def copy(apps, _schema_editor):  # type: ignore[no-untyped-def] # Django's own way
    dossier_model, geste = (apps.get_model("creatic_parapheur", name) for name in ("Dossier", "Geste"))
    entry_model = apps.get_model("document_states", "WorkflowInstanceLogEntry")
    state_model = apps.get_model("document_states", "WorkflowState")
    for dossier in dossier_model.objects.select_related("auteur", "instance"):
        entries = entry_model.objects.filter(workflow_instance=dossier.instance)
        entries = list(entries.select_related("transition__origin_state", "transition__destination_state", "user"))
        moves = sorted((one for one in entries if one.transition), key=lambda one: (one.datetime, one.pk))
        first = state_model.objects.get(workflow_id=dossier.instance.workflow_id, initial=True)
        made = [(dossier.instance.datetime, dossier.auteur, "Déposer", "", first.label, "", "")]
        for one in moves:
            ends = one.transition.origin_state.label, one.transition.destination_state.label
            reason = json.loads(one.extra_data or "{}").get("motif", "")
            made.append((one.datetime, one.user, one.transition.label, *ends, reason, one.comment))
        for when, user, what, origin, destination, reason, note in made:
            geste.objects.create(
                dossier=dossier,
                quand=when,
                compte=user.pk if user else None,
                quoi=what,
                de=origin,
                vers=destination,
                motif=reason,
                note=note,
                identifiant=user.username if user else "",
                qui=(f"{user.first_name} {user.last_name}".strip() or user.username) if user else "",
            )


class Migration(migrations.Migration):
    dependencies = [("creatic_parapheur", "0003_geste")]

    operations = [migrations.RunPython(copy, migrations.RunPython.noop)]
