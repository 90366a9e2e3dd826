"""What becomes of a person's rows in this app."""

from craft.privacy import Policies, Unlinked
from integrations.models import Credential

POLICIES: Policies = {
    Credential: Unlinked(told=("id", "company_id", "name", "type", "created_at")),
}
