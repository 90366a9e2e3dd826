from accounts.services.audit import record_change
from craft.events import subscribe_to_all


def connect() -> None:
    subscribe_to_all(record_change)
