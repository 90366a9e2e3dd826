CREDENTIAL_CREATED = "credential.created"
CREDENTIAL_UPDATED = "credential.updated"
CREDENTIAL_ROTATED = "credential.rotated"
CREDENTIAL_DELETED = "credential.deleted"
