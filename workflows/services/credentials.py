"""Credentials, as workflows name them."""

from __future__ import annotations

from contextlib import suppress

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from integrations.models import TYPES, Credential
from integrations.services.credentials import Use
from workflows.engine import journal
from workflows.engine.configs import suggestion
from workflows.engine.graph import Graph, GraphError, SecretUse
from workflows.models import Workflow

MOST_KNOWN = 1_000
"""So many names are looked through for one that may have been meant."""


def credential_faults(company_id: int, graph: Graph) -> dict[str, str]:
    """What is wrong with the credentials that a graph names, each by its path. One or two queries, and none where it names none."""
    if not graph.secrets:
        return {}
    own = Credential.objects.for_company(company_id)
    rows = list(
        own.called({use.name for use in graph.secrets}).only(
            "name", "type", "secret_fields"
        )
    )
    by_word = {row.name: row for row in rows} | {row.pk: row for row in rows}
    faults: dict[str, str] = {}
    names: list[str] | None = None
    for use in graph.secrets:
        row = by_word.get(use.name)
        if row is not None:
            fault = _fault_of(use, row)
        else:
            if names is None:
                names = list(
                    own.order_by("pk").values_list("name", flat=True)[:MOST_KNOWN]
                )
            fault = f"There is no credential '{use.name[:100]}'.{suggestion(use.name, names)}"
        if fault:
            faults.setdefault(use.path, fault)
    return faults


def _fault_of(use: SecretUse, row: Credential) -> str:
    if use.types and row.type not in use.types:
        return f"'{row.name}' is a credential of the type {row.type}; here one of {', '.join(use.types)} is needed."
    kind = TYPES[row.type]
    if use.field is None:
        if not kind.single:
            return (
                f"'{row.name}' has several fields. Say which: {', '.join(_fields_of(row))}."
                if not use.types
                else ""
            )
        return ""
    if kind.single:
        return f"'{row.name}' has one value: write secrets.{row.name}."
    known = _fields_of(row)
    if use.field not in known and not (kind.has_own_fields and not row.is_set):
        return f"'{row.name}' has no field '{use.field[:100]}'.{suggestion(use.field, known)}"
    return ""


def _fields_of(row: Credential) -> list[str]:
    return row.secret_fields if row.kind.has_own_fields else list(row.kind.fields)


def uses_of(credential: Credential) -> list[Use]:
    """The workflows whose current version names it. Which those are is read out of their graphs, so it is never out of date."""
    words = {credential.name, credential.pk}
    nodes = Cast("version__nodes", TextField())
    rows = (
        Workflow.objects.for_company(credential.company_id)
        .alias(nodes_text=nodes)
        .filter(
            Q(nodes_text__contains="secrets") | Q(nodes_text__contains='"credential"')
        )
        .select_related("version")
        .order_by("name", "pk")
    )
    return [
        Use("workflow", workflow.pk, workflow.name)
        for workflow in rows.iterator(chunk_size=200)
        if words & _words_in(workflow)
    ]


def _words_in(workflow: Workflow) -> set[str]:
    with suppress(GraphError):
        if workflow.version is not None:
            return {use.name for use in journal.graph_of(workflow.version).secrets}
    return set()
