"""Ids in a workflow's nodes that name the company's own rows: each must be there when the workflow is saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.apps import apps

from workflows.nodes import NODES

Named = tuple[str, str, str]
"""The model, the id, and where it stands."""


def reference_faults(company_id: int, nodes: Any) -> dict[str, str]:
    """A sentence for each id that leads to nothing, or to another company's: one query for each model."""
    by_model: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for label, identity, path in _named(nodes):
        by_model[label][identity].append(path)
    faults: dict[str, str] = {}
    for label, paths in by_model.items():
        model: Any = apps.get_model(label)
        own = model.objects.for_company(company_id).filter(pk__in=list(paths))
        there = set(own.values_list("pk", flat=True))
        for identity in paths.keys() - there:
            noun = model._meta.verbose_name
            sentence = f"There is no {noun} '{identity[:64]}'."
            faults |= dict.fromkeys(paths[identity], sentence)
    return faults


def _named(nodes: Any) -> Iterator[Named]:
    """What a faulty graph holds in other forms is for the compiler to say."""
    for place, node in enumerate(nodes if isinstance(nodes, list) else ()):
        kind = NODES.get(str(node.get("type"))) if isinstance(node, dict) else None
        config = node.get("config") if kind is not None else None
        if kind is None or not isinstance(config, dict):
            continue
        for key, label in kind.refers_to.items():
            path = f"nodes.{place}.config.{key}"
            yield from _ids(label, config.get(key), path)


def _ids(label: str, value: Any, path: str) -> Iterator[Named]:
    if isinstance(value, str) and "{{" not in value:
        yield label, value, path
    elif isinstance(value, list):
        for place, item in enumerate(value):
            if isinstance(item, str) and "{{" not in item:
                yield label, item, f"{path}.{place}"
