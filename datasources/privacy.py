"""What becomes of a person's rows in this app."""

from craft.privacy import Impersonal, Policies, Unlinked
from datasources.models import DataSource, DataTable

POLICIES: Policies = {
    DataSource: Unlinked(told=("id", "company_id", "source_name", "created_at")),
    DataTable: Impersonal("the company's data, for which the company answers"),
}
