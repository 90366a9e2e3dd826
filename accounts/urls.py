from accounts.views.account import AccountViewSet
from accounts.views.auth import AuthViewSet
from accounts.views.keys import ApiKeyViewSet

routes = [
    ("auth", AuthViewSet, "auth"),
    ("account", AccountViewSet, "account"),
    ("account/api-keys", ApiKeyViewSet, "api-key"),
]
