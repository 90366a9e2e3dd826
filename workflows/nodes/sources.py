"""The company's data sources, for the nodes that ask them."""

from __future__ import annotations

from datasources.models import DataSource
from workflows.nodes.base import NodeError


def sources_of(company_id: int, ids: list[str]) -> list[DataSource]:
    """In the order of the ids. Raises NodeError for one that is not the company's."""
    own = DataSource.objects.for_company(company_id).with_tables()
    found = {source.pk: source for source in own.filter(pk__in=ids)}
    for source_id in ids:
        if source_id not in found:
            raise NodeError(
                f"There is no data source '{source_id[:64]}'.", code="not_found"
            )
    return [found[source_id] for source_id in ids]
