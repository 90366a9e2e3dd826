from accounts.views.account import AccountViewSet
from accounts.views.audit import AuditViewSet
from accounts.views.auth import AuthViewSet
from accounts.views.companies import (
    BELOW_COMPANY,
    CompanyProfileViewSet,
    MemberViewSet,
    OutletViewSet,
    UtilsViewSet,
)
from accounts.views.keys import ApiKeyViewSet

routes = [
    ("auth", AuthViewSet, "auth"),
    ("account", AccountViewSet, "account"),
    ("account/audit-log", AuditViewSet, "audit-entry"),
    ("account/api-keys", ApiKeyViewSet, "api-key"),
    ("companies", CompanyProfileViewSet, "company"),
    (f"{BELOW_COMPANY}/users", MemberViewSet, "member"),
    (f"{BELOW_COMPANY}/outlets", OutletViewSet, "outlet"),
    ("utils", UtilsViewSet, "utils"),
]
