"""Credentials, as workflows name them."""

from __future__ import annotations

from contextlib import suppress

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from integrations.models import TYPES, Credential
from integrations.services.credentials import Use
from workflows.engine import journal
from workflows.engine.configs import suggestion
from workflows.engine.graph import MAX_SUGGESTIONS, Graph, GraphError, SecretUse
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
    missing = [use for use in graph.secrets if use.name not in by_word]
    names = list(
        own.order_by("pk").values_list("name", flat=True)[:MOST_KNOWN]
        if missing
        else []
    )
    for use in graph.secrets:
        if use.name in by_word:
            fault = _fault_of(use, by_word[use.name])
        else:
            guess = suggestion(use.name, names) if len(faults) < MAX_SUGGESTIONS else ""
            fault = f"There is no credential '{use.name[:100]}'.{guess}"
        if fault:
            faults.setdefault(use.path, fault)
    return faults


def _fault_of(use: SecretUse, row: Credential) -> str:
    if use.types:
        if row.type in use.types:
            return ""
        return f"'{row.name}' is a credential of the type {row.type}; here one of {', '.join(use.types)} is needed."
    kind, known = TYPES[row.type], _fields_of(row)
    if kind.single:
        is_whole = use.field is None
        return (
            ""
            if is_whole
            else f"'{row.name}' has one value: write {_spelled(row.name)}."
        )
    if use.field is None:
        return f"'{row.name}' has several fields. Say which: {', '.join(known)}."
    is_known = use.field in known or (kind.has_own_fields and not row.is_set)
    return (
        ""
        if is_known
        else f"'{row.name}' has no field '{use.field[:100]}'.{suggestion(use.field, known)}"
    )


def _spelled(name: str) -> str:
    return f"secrets.{name}" if name.isidentifier() else f"secrets['{name}']"


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
