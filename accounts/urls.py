from django.urls import path

from accounts.pages import (
    audit,
    companies,
    entry,
    invitations,
    keys,
    mailed,
    sandbox,
    settings,
    sign_in,
    two_factor,
)
from accounts.views.account import AccountViewSet, OwnCompanyViewSet
from accounts.views.audit import AuditViewSet
from accounts.views.auth import AuthViewSet
from accounts.views.companies import (
    BELOW_COMPANY,
    CompanyProfileViewSet,
    MemberViewSet,
    OutletViewSet,
    UtilsViewSet,
)
from accounts.views.invitations import AcceptanceViewSet, InvitationViewSet
from accounts.views.keys import ApiKeyViewSet
from accounts.views.sandbox import SandboxViewSet
from accounts.views.sessions import SessionViewSet
from accounts.views.two_factor import TwoFactorViewSet
from craft.pages import SettingsPage

routes = [
    ("auth", AuthViewSet, "auth"),
    ("account", AccountViewSet, "account"),
    ("account/audit-log", AuditViewSet, "audit-entry"),
    ("account/api-keys", ApiKeyViewSet, "api-key"),
    ("account", SandboxViewSet, "sandbox"),
    ("account/companies", OwnCompanyViewSet, "own-company"),
    ("account/sessions", SessionViewSet, "session"),
    ("account", TwoFactorViewSet, "two-factor"),
    ("companies", CompanyProfileViewSet, "company"),
    (f"{BELOW_COMPANY}/users", MemberViewSet, "member"),
    (f"{BELOW_COMPANY}/outlets", OutletViewSet, "outlet"),
    (f"{BELOW_COMPANY}/invitations", InvitationViewSet, "invitation"),
    ("invitations", AcceptanceViewSet, "acceptance"),
    ("utils", UtilsViewSet, "utils"),
]

pages = [
    path("", entry.home, name="home"),
    path("setup", entry.set_up, name="set-up"),
    path("signup", entry.sign_up, name="sign-up"),
    path("login", entry.sign_in, name="sign-in"),
    path("login/code", entry.give_code, name="sign-in-code"),
    path("logout", entry.sign_out, name="sign-out"),
    path("forgot-password", mailed.forgot_password, name="forgot-password"),
    path("reset-password", mailed.reset_password, name="reset-password"),
    path("verify-email", mailed.verify_email, name="verify-email"),
    path("change-email", mailed.change_email, name="change-email"),
    path("invitation", invitations.accept, name="invitation"),
    path("switch/<int:company_id>", settings.switch_company, name="switch-company"),
    path("settings", settings.first, name="settings"),
    path("settings/profile", settings.profile, name="settings-profile"),
    path("settings/sign-in", sign_in.credentials, name="settings-sign-in"),
    path("settings/password", sign_in.change_password, name="settings-password"),
    path("settings/email", sign_in.change_email, name="settings-email"),
    path(
        "settings/verification", sign_in.send_verification, name="settings-verification"
    ),
    path(
        "settings/delete-account",
        sign_in.delete_account,
        name="settings-delete-account",
    ),
    path("settings/two-factor", two_factor.begin, name="settings-two-factor"),
    path(
        "settings/two-factor/confirm",
        two_factor.confirm,
        name="settings-two-factor-confirm",
    ),
    path(
        "settings/two-factor/disable",
        two_factor.disable,
        name="settings-two-factor-disable",
    ),
    path(
        "settings/two-factor/recovery-codes",
        two_factor.renew_recovery_codes,
        name="settings-recovery-codes",
    ),
    path("settings/sessions", sign_in.devices, name="settings-sessions"),
    path(
        "settings/sessions/end-others",
        sign_in.end_others,
        name="settings-sessions-end-others",
    ),
    path(
        "settings/sessions/<str:session_id>/end",
        sign_in.end_device,
        name="settings-session-end",
    ),
    path("settings/company", companies.company, name="settings-company"),
    path("settings/members", companies.people, name="settings-members"),
    path("settings/members/invite", invitations.invite, name="settings-invite"),
    path(
        "settings/invitations/<str:invitation_id>/resend",
        invitations.send_again,
        name="settings-invitation-resend",
    ),
    path(
        "settings/invitations/<str:invitation_id>/delete",
        invitations.take_back,
        name="settings-invitation-delete",
    ),
    path("settings/members/<str:user_id>", companies.person, name="settings-member"),
    path(
        "settings/members/<str:user_id>/remove",
        companies.remove_person,
        name="settings-member-remove",
    ),
    path(
        "settings/members/<str:user_id>/owner",
        companies.hand_over,
        name="settings-member-owner",
    ),
    path("settings/outlets", companies.outlets, name="settings-outlets"),
    path("settings/outlets/new", companies.new_outlet, name="settings-outlets-new"),
    path("settings/outlets/<str:outlet_id>", companies.outlet, name="settings-outlet"),
    path(
        "settings/outlets/<str:outlet_id>/delete",
        companies.delete_outlet,
        name="settings-outlet-delete",
    ),
    path("settings/sandbox", sandbox.state, name="settings-sandbox"),
    path("settings/sandbox/make", sandbox.make, name="settings-sandbox-make"),
    path("settings/sandbox/reset", sandbox.reset, name="settings-sandbox-reset"),
    path("settings/audit-log", audit.log, name="settings-audit"),
    path("settings/audit-log/export", audit.export, name="settings-audit-export"),
    path("settings/audit-log/verify", audit.verify, name="settings-audit-verify"),
    path("settings/api-keys", keys.api_keys, name="settings-keys"),
    path("settings/api-keys/new", keys.new_api_key, name="settings-keys-new"),
    path(
        "settings/api-keys/<str:key_id>", keys.edit_api_key, name="settings-keys-edit"
    ),
    path(
        "settings/api-keys/<str:key_id>/rotate",
        keys.rotate_api_key,
        name="settings-keys-rotate",
    ),
    path(
        "settings/api-keys/<str:key_id>/delete",
        keys.delete_api_key,
        name="settings-keys-delete",
    ),
]

settings_pages = [
    SettingsPage("You", "Profile", "settings-profile", "person"),
    SettingsPage("You", "Sign-in", "settings-sign-in", "shield"),
    SettingsPage("You", "Sessions", "settings-sessions", "device"),
    SettingsPage("Company", "General", "settings-company", "building", level="admin"),
    SettingsPage("Company", "Members", "settings-members", "people", level="admin"),
    SettingsPage("Company", "Outlets", "settings-outlets", "pin"),
    SettingsPage("Company", "API keys", "settings-keys", "key", level="admin"),
    SettingsPage("Company", "Sandbox", "settings-sandbox", "flask"),
    SettingsPage("Company", "Audit log", "settings-audit", "log", level="admin"),
]
