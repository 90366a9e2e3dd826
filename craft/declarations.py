"""What apps say of their models, each in one file of its own (`copies.py`, `privacy.py`): gathered here, and asked whether anything is missing."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string


def gather(module: str, name: str) -> dict[type[models.Model], Any]:
    """The dict of this name in each app's module, if it has one, all in one: in the order of the apps, and within each its own."""
    found: dict[type[models.Model], Any] = {}
    for app in settings.CRAFT_APPS:
        if find_spec(f"{app}.{module}") is not None:
            found.update(import_string(f"{app}.{module}.{name}"))
    return found


def models_of(labels: Iterable[str]) -> list[type[models.Model]]:
    return [
        model for label in labels for model in apps.get_app_config(label).get_models()
    ]
