"""The commands of the groupement (``fab --list``), from creatic/cli: one file per audience."""

from __future__ import annotations

import sys
from pathlib import Path

from invoke import Collection

TOP = Path(__file__).parent
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from creatic.cli import archives, auditeur, autorite, banc, exploitation, technicien

namespace = Collection(technicien.environnement)
namespace.add_task(exploitation.past, name="historique")
namespace.add_task(exploitation.prepare)
namespace.add_task(exploitation.servers, name="serveurs")
namespace.add_task(exploitation.updates, name="correctifs")
namespace.add_task(exploitation.network)
namespace.add_collection(
    Collection(
        "sauvegarde",
        exploitation.backup_status,
        exploitation.backup_enrol,
        exploitation.backup_save,
        exploitation.backup_drill_,
        exploitation.backup_rollback,
        exploitation.backup_recover,
        exploitation.backup_move_,
    )
)
namespace.add_collection(Collection("machine", exploitation.machine_apply, technicien.machine_keys))
namespace.add_collection(Collection("version", exploitation.version_pass))
namespace.add_collection(Collection("poste", technicien.poste_certify, technicien.poste_installer))
namespace.add_collection(Collection("agent", technicien.agent_depart))
namespace.add_collection(Collection("comptes", autorite.accounts_renew))
namespace.add_collection(Collection("acces", autorite.access_grant, autorite.access_list, autorite.access_revoke))
namespace.add_collection(Collection("banc", banc.lab_up, banc.lab_down, banc.lab_status))
communes = Collection("commune", technicien.commune_new, technicien.commune_depart)
communes.add_task(technicien.rollout, name="deployer")
namespace.add_collection(communes)
namespace.add_collection(Collection("communes", technicien.communes_import, technicien.communes_certificates))
namespace.add_task(auditeur.documents)
namespace.add_task(auditeur.droit)
namespace.add_task(exploitation.morning)
namespace.add_collection(
    Collection(
        "flotte",
        exploitation.fleet_status,
        exploitation.fleet_publish,
        exploitation.fleet_advance,
        exploitation.fleet_stop,
        exploitation.fleet_back,
        exploitation.fleet_excuse,
        exploitation.fleet_door,
    )
)
namespace.add_collection(Collection("inventaire", technicien.inventory_check))
namespace.add_collection(Collection("preuves", auditeur.evidence_verify))
audits = Collection("audit", auditeur.audit_verify, auditeur.audit_show, auditeur.audit_trend, auditeur.audit_commune)
audits.add_task(auditeur.audit, default=True)
namespace.add_collection(audits)
namespace.add_collection(
    Collection(
        "archive",
        archives.archive_status,
        archives.archive_formats_,
        archives.archive_convert,
        archives.archive_patch_,
        archives.archive_open,
        archives.archive_seals,
        archives.archive_act,
        archives.archive_recover,
    )
)
namespace.add_collection(Collection("parapheur", autorite.signer_lists, autorite.trusted_lists))
namespace.add_collection(
    Collection(
        "supervision",
        exploitation.supervision_silence,
        exploitation.supervision_silences,
        exploitation.supervision_lift,
    )
)
namespace.add_collection(
    Collection(
        "pki",
        autorite.pki_list,
        autorite.pki_deadlines,
        autorite.pki_make,
        autorite.pki_verify,
        autorite.pki_person,
        autorite.pki_rotate,
        autorite.pki_revoke,
        autorite.pki_lists,
        autorite.pki_renew,
    )
)
