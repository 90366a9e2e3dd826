from accounts.views import ApiKeyViewSet, AuthViewSet

routes = [
    ("auth", AuthViewSet, "auth"),
    ("account/api-keys", ApiKeyViewSet, "api-key"),
]
