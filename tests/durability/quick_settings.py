"""Craft's settings, with short leases."""

from craft.settings import *  # noqa: F403  # all of them
from craft.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.durability.quick_leases.QuickLeases"]
