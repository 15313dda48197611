"""The addresses of Mayan that are open, each with its methods, to each kind of account; every other one is closed.

An address is the route that Django resolved, each of its variables in angle brackets (`doors.address`): never the text
that was asked for. What our programs call, what the guides tell people to do, and what a page that is open needs to be
whole; nothing else. The applications beside Mayan's own are written here too: all that is open is in one place.

What writes something that Mayan renders as a template is open to the rollout alone, from this host
(docs/design/ged.md).
"""

from __future__ import annotations

# Whoever comes: to log in, by the pages or by the API.
VISITOR = """
GET        favicon.ico
GET        locales/jsi18n/
GET        locales/jsi18n/<packages>/
GET        service_worker.js
GET        service_worker_gateway_error.html
GET POST   authentication/login/
GET POST   authentication/login/multi_factor_authentication/
POST       api/v4/auth/token/obtain/
"""

# Whoever is logged in: what Mayan draws around any page, one's password, and the way out.
FRAME = """
GET
GET        api/v4/templates/<name>/
GET        api/v4/server_side_events/stream/
GET POST   authentication/logout/
GET POST   authentication/password/change/
GET        authentication/password/change/done/
"""

# To read documents: lists, searches, pages and their images, files.
READING = """
GET        home/
GET        documents/documents/
GET        documents/documents/recently/accessed/
GET        documents/documents/recently/created/
GET        documents/documents/<document_id>/preview/
GET        documents/documents/<document_id>/properties/
GET        documents/documents/<document_id>/files/
GET        documents/documents/files/<document_file_id>/preview/
GET        documents/documents/files/<document_file_id>/properties/
GET        documents/documents/files/<document_file_id>/pages/
GET        documents/documents/files/pages/<document_file_page_id>/
GET        documents/documents/files/pages/<document_file_page_id>/navigation/next/
GET        documents/documents/files/pages/<document_file_page_id>/navigation/previous/
GET        documents/documents/files/pages/<document_file_page_id>/navigation/first/
GET        documents/documents/files/pages/<document_file_page_id>/navigation/last/
GET        documents/documents/files/pages/<document_file_page_id>/zoom/in/
GET        documents/documents/files/pages/<document_file_page_id>/zoom/out/
GET        documents/documents/files/pages/<document_file_page_id>/rotate/left/
GET        documents/documents/files/pages/<document_file_page_id>/rotate/right/
GET        documents/documents/files/pages/<document_file_page_id>/reset/
GET        documents/documents/<document_id>/versions/
GET        documents/documents/versions/<document_version_id>/preview/
GET        documents/documents/versions/<document_version_id>/pages/
GET        documents/documents/versions/pages/<document_version_page_id>/
GET        documents/documents/versions/<document_version_page_id>/navigation/next/
GET        documents/documents/versions/<document_version_page_id>/navigation/previous/
GET        documents/documents/versions/<document_version_page_id>/navigation/first/
GET        documents/documents/versions/<document_version_page_id>/navigation/last/
GET        documents/documents/versions/<document_version_page_id>/zoom/in/
GET        documents/documents/versions/<document_version_page_id>/zoom/out/
GET        documents/documents/versions/<document_version_page_id>/rotate/left/
GET        documents/documents/versions/<document_version_page_id>/rotate/right/
GET        documents/documents/versions/<document_version_page_id>/reset/
GET        document_downloads/documents/files/<document_file_id>/download/
GET        search/advanced/
GET        search/advanced/<search_model_pk>/
GET        search/again/<search_model_pk>/
GET        search/results/
GET        search/results/<search_model_pk>/
GET        search/simple/<search_model_pk>/
GET        api/v4/app_image_errors/<app_image_error_name>/image/
GET        api/v4/document_types/
GET        api/v4/documents/
GET        api/v4/documents/<document_id>/
GET        api/v4/documents/<document_id>/files/
GET        api/v4/documents/<document_id>/files/<document_file_id>/download/
GET        api/v4/documents/<document_id>/files/<document_file_id>/pages/<document_file_page_id>/image/
GET        api/v4/documents/<document_id>/versions/
GET        api/v4/documents/<document_id>/versions/<document_version_id>/pages/<document_version_page_id>/image/
GET        api/v4/search/<search_model_pk>/
GET        api/v4/search/advanced/<search_model_pk>/
"""

# To file documents in the GED, and to find them by its folders and indexes.
FILING = """
GET POST   sources/sources/documents/wizard/
GET POST   sources/sources/<source_id>/documents/upload/
GET POST   sources/sources/any/documents/upload/
GET POST   sources/sources/<source_id>/documents/<document_id>/files/upload/
GET POST   sources/sources/any/documents/<document_id>/files/upload/
GET POST   documents/documents/<document_id>/properties/edit/
GET POST   documents/documents/<document_id>/versions/create/
GET        documents/document_types/<document_type_id>/documents/
GET        cabinets/cabinets/
GET        cabinets/cabinets/<cabinet_id>/
GET        cabinets/documents/<document_id>/cabinets/
GET POST   cabinets/documents/<document_id>/cabinets/add/
GET POST   cabinets/documents/<document_id>/cabinets/remove/
GET POST   cabinets/documents/multiple/cabinets/add/
GET POST   cabinets/documents/multiple/cabinets/remove/
GET POST   document_downloads/documents/<document_id>/download/
GET POST   document_downloads/documents/multiple/download/
GET        storage/downloads/
GET        storage/downloads/<download_file_id>/download/
GET POST   storage/downloads/<download_file_id>/delete/
GET        indexing/instances/
GET        indexing/instances/nodes/<index_instance_node_id>/
GET        indexing/documents/<document_id>/instances/
GET        metadata/documents/<document_id>/metadata/view/
GET POST   metadata/documents/<document_id>/metadata/add/
GET POST   metadata/documents/<document_id>/metadata/edit/
GET POST   metadata/documents/multiple/metadata/add/
GET POST   metadata/documents/multiple/metadata/edit/
GET        parsing/documents/files/<document_file_id>/content/
GET        parsing/documents/files/<document_file_id>/content/download/
GET        parsing/documents/files/pages/<document_file_page_id>/content/
GET        ocr/documents/versions/<document_version_id>/content/
GET        ocr/documents/versions/<document_version_id>/download/
GET        ocr/documents/versions/pages/<document_version_page_id>/content/
POST       api/v4/documents/
POST       api/v4/documents/<document_id>/files/
GET POST   api/v4/documents/<document_id>/metadata/
GET PATCH  api/v4/documents/<document_id>/metadata/<metadata_id>/
GET        api/v4/documents/<document_id>/indexes/
GET        api/v4/metadata_types/
GET        api/v4/cabinets/
GET        api/v4/cabinets/<cabinet_id>/documents/
POST       api/v4/cabinets/<cabinet_id>/documents/add/
GET        api/v4/index_instances/
"""

# The circuits of signature, by the pages and by the API: who may do what there is said by the application itself.
CIRCUITS = """
GET POST   parapheur/
GET        parapheur/dossiers/
GET        parapheur/lots/<lot>/
GET        parapheur/lots/<lot>/etat/
GET POST   parapheur/dossiers/<number>/
GET        parapheur/dossiers/<number>/fichier/
GET        parapheur/dossiers/<number>/donnees/
GET        parapheur/dossiers/<number>/pieces/<piece>/
GET POST   parapheur/deposer/
GET POST   parapheur/rediger/
GET POST   parapheur/absences/
GET POST   parapheur/delegations/
GET POST   api/v4/creatic/dossiers/
GET        api/v4/creatic/dossiers/<number>/
GET        api/v4/creatic/dossiers/<number>/fichier/
GET        api/v4/creatic/dossiers/<number>/historique/
GET POST   api/v4/creatic/dossiers/<number>/pieces/
GET        api/v4/creatic/dossiers/<number>/pieces/<piece>/
POST       api/v4/creatic/dossiers/<number>/<wish>/
"""

# The program of PCs, in the parapheur: it has no session, but the secret of its lot, which opens nothing else
# (creatic_parapheur.lots).
SIGNING = """
GET        poste/lots/<lot>
POST       poste/lots/<lot>/certificat
POST       poste/lots/<lot>/signatures
"""

# The passerelle, in the GED: it files acts, and shows that each commune has its place.
GATEWAY_FILING = """
GET        api/v4/search/advanced/<search_model_pk>/
GET        api/v4/document_types/
GET        api/v4/metadata_types/
GET        api/v4/cabinets/
POST       api/v4/cabinets/<cabinet_id>/documents/add/
POST       api/v4/documents/
GET POST   api/v4/documents/<document_id>/files/
GET POST   api/v4/documents/<document_id>/metadata/
PATCH      api/v4/documents/<document_id>/metadata/<metadata_id>/
"""

# The passerelle, in the parapheur: it deposits, takes what is signed, and says what became of it.
GATEWAY_CIRCUITS = """
GET POST   api/v4/creatic/dossiers/
GET        api/v4/creatic/dossiers/<number>/
GET        api/v4/creatic/dossiers/<number>/fichier/
GET        api/v4/creatic/dossiers/<number>/historique/
GET        api/v4/creatic/dossiers/<number>/pieces/
GET        api/v4/creatic/dossiers/<number>/pieces/<piece>/
POST       api/v4/creatic/dossiers/<number>/etat/
"""

# The passerelle, in both.
GATEWAY = """
POST       api/v4/creatic/eliminations/
"""

# The groupement's administrator, by the pages, as the guides say: accounts, and the bin.
ADMINISTRATION = """
GET        setup/
GET        accounts/users/
GET        accounts/users/<user_id>/
GET POST   accounts/users/<user_id>/edit/
GET POST   accounts/users/<user_id>/delete/
GET POST   accounts/users/<user_id>/groups/
GET POST   authentication/users/<user_id>/set_password/
GET        accounts/groups/
GET        accounts/groups/<group_id>/
GET POST   accounts/groups/<group_id>/users/
GET POST   documents/documents/<document_id>/trash/
GET POST   documents/documents/multiple/trash/
GET        documents/trashed_documents/
GET POST   documents/trashed_documents/<document_id>/restore/
GET POST   documents/trashed_documents/multiple/restore/
GET POST   documents/trashed_documents/<document_id>/delete/
GET POST   documents/trashed_documents/multiple/delete/
GET POST   documents/trash_can/empty/
GET        api/v4/trashed_documents/<document_id>/image/
"""

# The administrator, by the API: what compares the configuration with the communes' files, and makes it so
# (mayan_config); what is rendered as a template is read only, or plain (templating).
CONFIGURATION = """
GET POST                api/v4/creatic/comptes/
GET POST DELETE         api/v4/creatic/comptes/<login>/
GET                     api/v4/users/
GET PATCH DELETE        api/v4/users/<user_id>/
GET POST                api/v4/groups/
PATCH                   api/v4/groups/<group_id>/
GET                     api/v4/groups/<group_id>/users/
POST                    api/v4/groups/<group_id>/users/add/
POST                    api/v4/groups/<group_id>/users/remove/
GET POST                api/v4/roles/
PATCH                   api/v4/roles/<role_id>/
GET                     api/v4/roles/<role_id>/groups/
POST                    api/v4/roles/<role_id>/groups/add/
POST                    api/v4/roles/<role_id>/groups/remove/
GET                     api/v4/roles/<role_id>/permissions/
POST                    api/v4/roles/<role_id>/permissions/add/
POST                    api/v4/roles/<role_id>/permissions/remove/
GET POST                api/v4/objects/<app_label>/<model_name>/<object_id>/acls/
DELETE                  api/v4/objects/<app_label>/<model_name>/<object_id>/acls/<acl_id>/
GET                     api/v4/objects/<app_label>/<model_name>/<object_id>/acls/<acl_id>/permissions/
POST                    api/v4/objects/<app_label>/<model_name>/<object_id>/acls/<acl_id>/permissions/add/
POST                    api/v4/objects/<app_label>/<model_name>/<object_id>/acls/<acl_id>/permissions/remove/
GET                     api/v4/metadata_types/
GET POST                api/v4/document_types/
PATCH                   api/v4/document_types/<document_type_id>/
GET POST                api/v4/document_types/<document_type_id>/metadata_types/
PATCH                   api/v4/document_types/<document_type_id>/metadata_types/<metadata_type_id>/
GET POST                api/v4/cabinets/
PATCH                   api/v4/cabinets/<cabinet_id>/
GET                     api/v4/index_templates/
GET                     api/v4/index_templates/<index_template_id>/document_types/
POST                    api/v4/index_templates/<index_template_id>/document_types/add/
POST                    api/v4/index_templates/<index_template_id>/document_types/remove/
GET                     api/v4/index_templates/<index_template_id>/nodes/
GET                     api/v4/workflow_templates/
PATCH                   api/v4/workflow_templates/<workflow_template_id>/
GET                     api/v4/workflow_templates/<workflow_template_id>/document_types/
POST                    api/v4/workflow_templates/<workflow_template_id>/document_types/add/
GET                     api/v4/workflow_templates/<workflow_template_id>/states/
GET                     api/v4/workflow_templates/<workflow_template_id>/transitions/
GET                     api/v4/workflow_templates/<workflow_template_id>/transitions/<workflow_template_transition_id>/fields/
PATCH                   api/v4/workflow_templates/<workflow_template_id>/transitions/<workflow_template_transition_id>/fields/<workflow_template_transition_field_id>/
GET                     api/v4/documents/<document_id>/workflow_instances/
DELETE                  api/v4/documents/<document_id>/
GET                     api/v4/trashed_documents/
GET DELETE              api/v4/trashed_documents/<document_id>/
"""  # noqa: E501 # an address a line

# The rollout alone, from this host: it writes what Mayan renders as a template.
TEMPLATES = """
POST         api/v4/metadata_types/
PATCH        api/v4/metadata_types/<metadata_type_id>/
POST         api/v4/index_templates/
PATCH        api/v4/index_templates/<index_template_id>/
POST         api/v4/index_templates/<index_template_id>/nodes/
PATCH DELETE api/v4/index_templates/<index_template_id>/nodes/<index_template_node_id>/
POST         api/v4/workflow_templates/
POST         api/v4/workflow_templates/<workflow_template_id>/states/
PATCH        api/v4/workflow_templates/<workflow_template_id>/states/<workflow_template_state_id>/
POST         api/v4/workflow_templates/<workflow_template_id>/transitions/
PATCH        api/v4/workflow_templates/<workflow_template_id>/transitions/<workflow_template_transition_id>/
POST         api/v4/workflow_templates/<workflow_template_id>/transitions/<workflow_template_transition_id>/fields/
"""  # an address a line
