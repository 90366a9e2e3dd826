from integrations.views.credentials import CredentialViewSet

routes = [("credentials", CredentialViewSet, "credential")]
