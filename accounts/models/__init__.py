from accounts.models.audit import AuditEntry, AuditHead
from accounts.models.companies import LEVELS, OWNER, Company, Membership, Role
from accounts.models.invitations import Invitation
from accounts.models.keys import ApiKey, KeyMode
from accounts.models.mail import Mail, MailedToken, Purpose
from accounts.models.outlets import Outlet
from accounts.models.people import User, normalise_email
from accounts.models.sessions import RefreshToken, Session
from accounts.models.two_factor import RecoveryCode, TwoFactor

__all__ = [
    "LEVELS",
    "OWNER",
    "ApiKey",
    "AuditEntry",
    "AuditHead",
    "Company",
    "Invitation",
    "KeyMode",
    "Mail",
    "MailedToken",
    "Membership",
    "Outlet",
    "Purpose",
    "RecoveryCode",
    "RefreshToken",
    "Role",
    "Session",
    "TwoFactor",
    "User",
    "normalise_email",
]
