"""What becomes of a person's rows in this app."""

from billing.models import Plan, Subscription
from craft.privacy import Impersonal, Policies

POLICIES: Policies = {
    Plan: Impersonal("a price and its limits"),
    Subscription: Impersonal("a company's plan"),
}
