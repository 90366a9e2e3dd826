"""What each base path's answers look like, as the contract tables them."""

import json

import pytest
from rest_framework import serializers

from craft.api.envelopes import (
    COMPLIANCE,
    DATA,
    NAMED,
    Deleted,
    Page,
    Problem,
    Resource,
    dialect_for,
    is_api_path,
)

AGENT = Resource("agent", "agents", "Agent")
PAGE = Page(
    [{"id": 1}],
    total=42,
    limit=20,
    offset=0,
    page=1,
    has_more=True,
    next_cursor="abc",
)

CODES = {
    "INVALID_REQUEST VALIDATION_ERROR invalid_request": 400,
    "UNAUTHORIZED UNAUTHORIZED unauthorized": 401,
    "INSUFFICIENT_CREDITS INSUFFICIENT_CREDITS insufficient_credits": 402,
    "FORBIDDEN FORBIDDEN forbidden": 403,
    "NOT_FOUND NOT_FOUND not_found": 404,
    "METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED method_not_allowed": 405,
    "CONFLICT CONFLICT conflict": 409,
    "PAYLOAD_TOO_LARGE PAYLOAD_TOO_LARGE payload_too_large": 413,
    "UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE unsupported_media_type": 415,
    "RATE_LIMIT_EXCEEDED RATE_LIMITED rate_limit_exceeded": 429,
    "INTERNAL_ERROR INTERNAL_ERROR internal_error": 500,
    "UPSTREAM_ERROR UPSTREAM_ERROR upstream_error": 502,
    "UNAVAILABLE UNAVAILABLE unavailable": 503,
    "TIMEOUT TIMEOUT timeout": 504,
}


@pytest.mark.parametrize(("codes", "status"), CODES.items())
def test_a_status_has_the_code_of_its_base_path(codes, status):
    spoken = " ".join(dialect.code_for(status) for dialect in (NAMED, DATA, COMPLIANCE))
    assert spoken == codes


def test_only_compliance_tells_a_broken_rule_from_a_broken_body():
    assert COMPLIANCE.invalid_status == 422
    assert COMPLIANCE.code_for(422) == "unprocessable"
    assert (NAMED.invalid_status, DATA.invalid_status) == (400, 400)


def test_a_status_that_nobody_named_has_the_code_of_its_class():
    assert NAMED.code_for(418) == "INVALID_REQUEST"
    assert DATA.code_for(599) == "INTERNAL_ERROR"


def test_one_resource():
    assert NAMED.one(AGENT, {"id": 1}) == {"agent": {"id": 1}}
    assert DATA.one(AGENT, {"id": 1}) == {"success": True, "data": {"id": 1}}


def test_many_resources():
    assert NAMED.many(AGENT, PAGE) == {
        "agents": [{"id": 1}],
        "total": 42,
        "limit": 20,
        "offset": 0,
        "has_more": True,
    }
    assert DATA.many(AGENT, PAGE) == {
        "success": True,
        "data": [{"id": 1}],
        "meta": {
            "total": 42,
            "limit": 20,
            "page": 1,
            "has_more": True,
            "cursor": "abc",
            "next_cursor": "abc",
        },
    }


def test_a_deleted_resource():
    gone = Deleted("agent_1", "Agent")
    assert NAMED.deleted(gone) == {"success": True, "message": "Agent deleted"}
    assert DATA.deleted(gone) == {
        "success": True,
        "data": {"id": "agent_1", "deleted": True},
    }


def test_an_actions_result():
    assert NAMED.result({"response": "Hello"}) == {"response": "Hello"}
    assert DATA.result({"response": "Hello"}) == {
        "success": True,
        "data": {"response": "Hello"},
    }


def test_a_problem():
    problem = Problem(404, "Not found.", "req_1", {"id": "Unknown."})
    assert NAMED.problem(problem) == {
        "error": True,
        "message": "Not found.",
        "code": "NOT_FOUND",
        "details": {"id": "Unknown."},
        "request_id": "req_1",
    }
    assert DATA.problem(problem) == {
        "success": False,
        "error": {
            "code": "NOT_FOUND",
            "message": "Not found.",
            "details": {"id": "Unknown."},
            "request_id": "req_1",
        },
    }


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/api/v1/agents", NAMED),
        ("/api/v1/systems", NAMED),
        ("/v1/agents", DATA),
        ("/api/workflows", DATA),
        ("/v1/systems/sys_1", COMPLIANCE),
        ("/v1/jobs", COMPLIANCE),
    ],
)
def test_a_path_decides_how_is_spoken(path, dialect):
    assert dialect_for(path) is dialect


def test_pages_are_not_the_api():
    assert is_api_path("/v1/agents")
    assert is_api_path("/api/nothing")
    assert not is_api_path("/docs/")
    assert not is_api_path("/admin/")


def test_a_resource_is_named_by_its_serializer():
    class BranchSerializer(serializers.Serializer):
        class Meta:
            resource = "branch"
            resources = "branches"

    every = BranchSerializer([], many=True)
    assert Resource.of(every) == Resource("branch", "branches", "Branch")
    assert Resource.of(serializers.Serializer()) is None


def test_answers_are_json_whatever_the_caller_accepts(api, alice):
    answer = api(alice).get("/v1/account/profile", HTTP_ACCEPT="text/html")
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(answer.content)["success"] is True
