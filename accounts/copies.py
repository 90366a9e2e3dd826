"""What a sandbox gets of a company itself: its outlets, but nobody's account. It is the live company's members who work in it."""

from accounts.models import (
    ApiKey,
    AuditEntry,
    AuditHead,
    Company,
    Invitation,
    Mail,
    MailedToken,
    Membership,
    Outlet,
    RecoveryCode,
    RefreshToken,
    Session,
    TwoFactor,
    User,
)
from craft.copies import Copied, Copies, LeftOut, Shared

COPIES: Copies = {
    Company: Shared("the sandbox is a company itself"),
    User: Shared("people belong to no company"),
    Outlet: Copied(),
    Membership: Shared("who works in a company works in its sandbox"),
    ApiKey: Shared("test keys are the live company's, which makes and ends them"),
    Session: Shared("a session is a person's, and live"),
    RefreshToken: Shared("a session is a person's, and live"),
    TwoFactor: Shared("what a person signs in with is their own"),
    RecoveryCode: Shared("what a person signs in with is their own"),
    Invitation: Shared("people join the live company"),
    Mail: Shared("a sandbox sends none"),
    MailedToken: Shared("a sandbox sends no mail"),
    AuditEntry: LeftOut("a record of what was done elsewhere", kept=True),
    AuditHead: LeftOut("the end of that record's chain", kept=True),
}
