"""Files that go with rows. A folder is named in the transaction that deletes the rows and is removed once that is certain; where the process died in between,
whoever looks next finishes it (`craft/tasks.py`, every hour).
"""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

from craft.models import DoomedFolder

logger = logging.getLogger("craft.files")


def remove_with_rows(folder: Path) -> None:
    """In the transaction that deletes what the folder belongs to."""
    path = folder.relative_to(settings.MEDIA_ROOT)
    doomed = DoomedFolder.objects.create(path=path.as_posix())
    transaction.on_commit(partial(_remove, doomed), robust=True)


def finish_removals() -> int:
    """How many folders of those that are left over could be removed."""
    return sum(_remove(doomed) for doomed in list(DoomedFolder.objects.order_by("pk")))


def _remove(doomed: DoomedFolder) -> bool:
    home = Path(settings.MEDIA_ROOT).resolve()
    folder = home / doomed.path
    if home not in folder.resolve().parents:
        logger.error("a folder outside of ours is not removed: %s", doomed.path)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("a folder can't be removed, and is tried again: %s", folder)
        return False
    doomed.delete()
    return True
