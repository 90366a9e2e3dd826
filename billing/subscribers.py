from accounts.events import COMPANY_CREATED
from accounts.models import Company
from billing import services
from billing.models import SubscriptionStatus
from craft.events import Event, subscribe


def start_trial(event: Event) -> None:
    company = Company.objects.get(pk=event.company_id)
    services.set_plan(
        company=company, slug=services.TRIAL_PLAN, status=SubscriptionStatus.TRIALING
    )


def connect() -> None:
    subscribe(COMPANY_CREATED, start_trial)
