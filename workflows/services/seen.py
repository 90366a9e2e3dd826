"""Forgetting what workflows have seen, once its time is over."""

from django.utils import timezone

from workflows.models import SeenKey

BATCH = 1_000


def forget_expired() -> int:
    """In small deletes, so that nobody who writes waits long."""
    gone = 0
    while True:
        late = SeenKey.unscoped.filter(expires_at__lt=timezone.now())
        ids = list(late.values_list("pk", flat=True)[:BATCH])
        gone += SeenKey.unscoped.filter(pk__in=ids).delete()[0]
        if len(ids) < BATCH:
            return gone
