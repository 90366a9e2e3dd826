"""What apps say of their models, each in one file of its own (`copies.py`, `privacy.py`): gathered here, and asked whether anything is missing."""

from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

CRAFT = "craft"


def gather(module: str, name: str) -> dict[type[models.Model], Any]:
    """The dict of this name in each app's module, if it has one, all in one: in the order of the apps, and within each its own."""
    found: dict[type[models.Model], Any] = {}
    for app in settings.CRAFT_APPS:
        if find_spec(f"{app}.{module}") is not None:
            found.update(import_string(f"{app}.{module}.{name}"))
    return found


def all_models() -> list[type[models.Model]]:
    """The machinery's too, of which the machinery itself says what becomes."""
    return [
        model
        for label in (CRAFT, *settings.CRAFT_APPS)
        for model in apps.get_app_config(label).get_models()
    ]
