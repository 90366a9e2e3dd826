"""Folders go once their rows have gone for certain, and also where the process died in between."""

import os
from pathlib import Path

import pytest
from django.db import transaction

from craft.celery import app
from craft.files import finish_removals, remove_with_rows
from craft.models import DoomedFolder
from craft.tasks import clean_up


@pytest.fixture
def folder(settings, db) -> Path:
    made = Path(settings.MEDIA_ROOT) / "7" / "outputs"
    made.mkdir(parents=True)
    (made / "a.json").write_text("{}")
    return made


def test_a_folder_goes_when_the_rows_have_gone(
    folder, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        remove_with_rows(folder.parent)
        assert folder.exists()
    assert not folder.parent.exists()
    assert not DoomedFolder.objects.exists()


def test_it_stays_when_the_rows_stay(folder):
    with transaction.atomic():
        remove_with_rows(folder)
        transaction.set_rollback(True)
    assert finish_removals() == 0
    assert folder.exists()


def test_what_a_killed_process_left_goes_with_the_next_look(folder):
    # A test's own transaction is never committed: as far as its callbacks go, the process died.
    remove_with_rows(folder)
    assert folder.exists()
    clean_up()
    assert not folder.exists()
    assert not DoomedFolder.objects.exists()


def test_what_can_not_be_removed_is_tried_again(folder, monkeypatch):
    remove_with_rows(folder)

    def refuse(*args, **kwargs):
        raise PermissionError

    with monkeypatch.context() as locked:
        locked.setattr(os, "unlink", refuse)
        assert finish_removals() == 0
    assert folder.exists()
    assert finish_removals() == 1
    assert not folder.exists()


@pytest.mark.parametrize("path", ["..", ".", "", "/etc", "7/../.."])
def test_nothing_outside_is_ever_removed(folder, path):
    DoomedFolder.objects.create(path=path)
    assert finish_removals() == 0
    assert folder.exists()


def test_the_scheduler_looks_every_hour(settings):
    entry = settings.CELERY_BEAT_SCHEDULE["clean-up"]
    assert (entry["task"], entry["schedule"]) == (clean_up.name, 3600.0)
    app.loader.import_default_modules()
    assert clean_up.name in app.tasks
