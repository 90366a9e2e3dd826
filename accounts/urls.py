from accounts.views import AccountViewSet, ApiKeyViewSet, AuthViewSet

routes = [
    ("auth", AuthViewSet, "auth"),
    ("account", AccountViewSet, "account"),
    ("account/api-keys", ApiKeyViewSet, "api-key"),
]
