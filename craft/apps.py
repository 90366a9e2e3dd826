from django.apps import AppConfig


class CraftConfig(AppConfig):
    name = "craft"
