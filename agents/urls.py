from agents.views import AgentViewSet, ModelViewSet

routes = [
    ("agents", AgentViewSet, "agent"),
    ("models", ModelViewSet, "model"),
]
