from craft.events import Event, subscribe
from workflows.events import APPROVAL_REQUESTED
from workflows.models import Approval
from workflows.services.approvals import tell_people


def connect() -> None:
    subscribe(APPROVAL_REQUESTED, _tell_people)


def _tell_people(event: Event) -> None:
    asked = Approval.objects.for_company(event.company_id)
    known = asked.select_related("execution__workflow", "company")
    tell_people(known.get(pk=event.data["approval_id"]))
