from integrations.models.credential_types import TYPES, CredentialType
from integrations.models.credentials import Credential, Opened

__all__ = ["TYPES", "Credential", "CredentialType", "Opened"]
