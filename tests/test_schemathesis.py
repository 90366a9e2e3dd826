"""Schemathesis asks every described call what nobody thought of, and holds the answers against the document.

What it asks is the same each time. `SCHEMATHESIS_CASES=200 pytest tests/test_schemathesis.py` searches for longer, and elsewhere each time.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from craft.api.schema import DOCUMENTS
from tests.factories import make_key
from tests.test_api_contract import CALLS, Call, document, in_turn

pytestmark = pytest.mark.usefixtures("standing_cast")

CASES = int(os.environ.get("SCHEMATHESIS_CASES", "0"))
SEARCH = settings(
    max_examples=CASES or 3,
    derandomize=not CASES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document as of today: an answer may have no field beyond it. (For clients it stays open: fields will be added.)"""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


def operations() -> dict[str, Any]:
    found = {}
    for name in DOCUMENTS:
        schema = schemathesis.openapi.from_dict(closed(document(name)))
        schema.app = get_wsgi_application()
        for result in schema.get_all_operations():
            operation = result.ok()
            found[operation.label] = operation
    return found


OPERATIONS = operations()
BY_LABEL = {
    f"{call.method} {call.template}".replace("{pk}", "{id}"): call for call in CALLS
}


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """A server closes its connection between requests; here it is the test's own, with the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


REFUSED = set(in_turn(CALLS)) if "CRAFT_TEST_SPLIT" in os.environ else set(CALLS)
"""The calls that are asked what is wrong, too: in `make test` each at one base path. Both lead to the same code, and the form of what is refused is asked of
every call by `test_api_contract.py`."""


def is_askable(operation: Any, mode: GenerationMode) -> bool:
    """Nothing can be wrong in a call that takes nothing."""
    raw = operation.definition.raw
    takes_something = "parameters" in raw or "requestBody" in raw
    return mode.is_positive or (
        takes_something and BY_LABEL[operation.label] in REFUSED
    )


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        pytest.param(label, mode, id=f"{label} {mode.name.lower()}")
        for label, operation in OPERATIONS.items()
        for mode in GenerationMode
        if is_askable(operation, mode)
    ],
)
def test_every_answer_is_as_described(label, mode, alice, settings):
    settings.API_PUBLIC_PER_MINUTE = 1_000_000
    call = BY_LABEL[label]
    authorization = f"Bearer {make_key(alice)}"

    @SEARCH
    @given(
        case=OPERATIONS[label].as_strategy(generation_mode=mode), is_own=st.booleans()
    )
    def ask(case: Any, is_own: bool) -> None:
        if is_own and call.has_id:
            case.path_parameters["id"] = call.own_id(alice)
        if is_own and "company_id" in case.path_parameters:
            case.path_parameters["company_id"] = alice.company.pk
        response = case.call(headers={"Authorization": authorization})
        case.validate_response(response, checks=CHECKS)
        check_failure(call, response)

    ask()


def check_failure(call: Call, response: Any) -> None:
    """A failure is one that the call's own services can name; never a crash, or a database that was asked the impossible."""
    if response.status_code >= 500:
        named = call.view.problems.get(call.action, ())
        assert response.status_code in named, response.text
