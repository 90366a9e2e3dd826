from accounts.models.audit import AuditEntry, AuditHead
from accounts.models.companies import LEVELS, Company, Membership, Role
from accounts.models.keys import ApiKey, KeyMode
from accounts.models.mail import Mail, MailedToken, Purpose
from accounts.models.people import User, normalise_email
from accounts.models.sessions import RefreshToken

__all__ = [
    "LEVELS",
    "ApiKey",
    "AuditEntry",
    "AuditHead",
    "Company",
    "KeyMode",
    "Mail",
    "MailedToken",
    "Membership",
    "Purpose",
    "RefreshToken",
    "Role",
    "User",
    "normalise_email",
]
