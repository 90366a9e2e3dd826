"""Every error leaves by one door, in one body."""

import logging

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions

from accounts.services import sign_in
from craft.api.exceptions import QueryError, describe, flatten, summarise
from craft.exceptions import ConflictError, InvalidError, UnavailableError


def described(error, path="/v1/agents"):
    request = RequestFactory().get(path)
    request.request_id = "req_1"
    return describe(error, request)[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exceptions.ValidationError({"name": ["Required."]}), 400),
        (exceptions.ParseError("Broken."), 400),
        (exceptions.NotAuthenticated(), 401),
        (exceptions.PermissionDenied(), 403),
        (exceptions.MethodNotAllowed("PUT"), 405),
        (exceptions.UnsupportedMediaType("text/plain"), 415),
        (InvalidError("Wrong.", details={"name": "Wrong."}), 400),
        (ConflictError("Taken."), 409),
        (UnavailableError("Set OPENAI_API_KEY."), 503),
        (Http404(), 404),
        (PermissionDenied(), 403),
        (OperationalError("server closed the connection"), 503),
        (IntegrityError("UNIQUE constraint failed: secret_table"), 500),
        (RuntimeError("secret words"), 500),
    ],
)
def test_an_exception_has_a_status(error, status):
    problem = described(error)
    assert problem.status == status
    assert problem.request_id == "req_1"
    assert "secret" not in problem.message


def test_compliance_answers_422_for_a_broken_rule_and_400_for_a_broken_question():
    rule = exceptions.ValidationError({"name": ["Required."]})
    assert described(rule, "/v1/systems").status == 422
    assert described(InvalidError("Wrong."), "/v1/systems").status == 422
    assert described(exceptions.ParseError("Broken."), "/v1/systems").status == 400
    assert described(QueryError({"limit": "Bad."}), "/v1/systems").status == 400


def test_details_are_dotted_paths_with_one_sentence_each():
    detail = {
        "name": ["Required."],
        "nodes": [{}, {"config": {"url": ["No scheme.", "Too long."]}}],
        "tags": {0: ["Too long."]},
        "non_field_errors": ["Give one of them."],
    }
    assert flatten(detail) == {
        "name": "Required.",
        "nodes.1.config.url": "No scheme. Too long.",
        "tags.0": "Too long.",
        "body": "Give one of them.",
    }


def test_the_message_says_the_first_fault_and_how_many_more():
    assert summarise({"name": "Required."}) == "name: Required."
    assert summarise({"body": "Wrong.", "a": "b"}) == "Wrong. (1 more in details)"
    assert summarise({}) == "The request is not valid."


def test_a_crash_is_a_500_that_the_log_explains(api, db, monkeypatch, caplog):
    def crash(**_):
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(sign_in, "log_in", crash)
    with caplog.at_level(logging.ERROR):
        answer = api().post(
            "/v1/auth/login", {"email": "a@example.com", "password": "b"}
        )
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "INTERNAL_ERROR"
    assert error["request_id"] == answer["X-Request-ID"]
    assert "secret" not in answer.content.decode()
    assert "the secret reason" in caplog.text


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_again(
    api, db, monkeypatch
):
    def fail(**_):
        raise OperationalError("could not connect to 10.0.0.7")

    monkeypatch.setattr(sign_in, "log_in", fail)
    answer = api().post(
        "/api/v1/auth/login", {"email": "a@example.com", "password": "b"}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert answer["Retry-After"] == "5"
    assert "10.0.0.7" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/v1/nothing", "/api/nothing"])
def test_nothing_is_there(api, db, path):
    answer = api().get(path)
    assert answer.status_code == 404
    body = answer.json()
    error = body.get("error")
    error = body if error is True else error
    assert error["code"] == "NOT_FOUND"
    assert error["request_id"] == answer["X-Request-ID"]


def test_a_host_that_is_not_ours_is_refused_in_the_same_form(api, db):
    answer = api().get("/api/v1/health", HTTP_HOST="evil.example.com")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")


def test_a_page_that_is_not_there_is_a_page(client, db):
    answer = client.get("/nothing")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")
