from billing.models import Plan, Subscription
from craft.copies import Copies, Shared

COPIES: Copies = {
    Plan: Shared("plans are the operator's"),
    Subscription: Shared("a sandbox is on its live company's plan, and pays nothing"),
}
