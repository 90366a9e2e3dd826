"""The documents are valid, complete and up to date; the console that shows them asks nobody else."""

import json
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.urls import reverse
from openapi_spec_validator import OpenAPIV31SpecValidator

from craft.api import docs
from craft.api.envelopes import DATA, NAMED
from craft.api.schema import DOCUMENTS, build_document, complaints
from craft.management.commands import openapi as openapi_command
from tests.test_api_contract import CALLS

ERROR_FIELDS = {
    "named": {"error", "message", "code", "details", "request_id"},
    "data": {"success", "error"},
}


@pytest.fixture(scope="module")
def documents():
    return {name: build_document(name) for name in DOCUMENTS}


@pytest.fixture(params=DOCUMENTS)
def document(request, documents):
    return documents[request.param]


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def responses(document):
    """Every answer of every call, references followed."""
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if "$ref" in response:
                name = response["$ref"].rpartition("/")[2]
                response = document["components"]["responses"][name]
            yield f"{method} {path}", status, response


def test_the_documents_are_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_nothing_had_to_be_guessed(document):
    assert complaints() == []


def test_the_committed_documents_are_up_to_date(capsys):
    call_command("openapi", check=True)


def test_a_stale_document_fails_the_check_and_says_what_to_do(
    documents, monkeypatch, tmp_path
):
    monkeypatch.setattr(openapi_command, "build_document", documents.__getitem__)
    monkeypatch.setattr(
        openapi_command, "document_path", lambda name: tmp_path / f"{name}.json"
    )
    with pytest.raises(CommandError, match="make openapi"):
        call_command("openapi", check=True)
    assert list(tmp_path.iterdir()) == []
    call_command("openapi")
    call_command("openapi", check=True)
    (tmp_path / "v1.json").write_text("{}")
    with pytest.raises(CommandError, match=r"v1\.json"):
        call_command("openapi", check=True)


def test_every_call_is_described(documents):
    described = {
        (method.upper(), path)
        for document in documents.values()
        for path, method, _ in operations(document)
    }
    served = {
        (call.method, call.template.replace("{pk}", "{id}"))
        for call in CALLS
        if not call.template.startswith("/api/workflows")
    }
    assert described == served


def test_operations_have_names_summaries_and_a_tag(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for _, _, operation in operations(document):
        assert re.fullmatch(r"[a-z][a-z0-9_]+", operation["operationId"])
        assert 3 < len(operation["summary"]) < 100
        assert operation["description"]
        assert set(operation["tags"]) <= tags


def test_every_answer_describes_its_headers(document):
    for call, status, response in responses(document):
        headers = set(response["headers"])
        assert {"X-Request-ID", "X-RateLimit-Limit"} <= headers, call
        assert ("Location" in headers) == (status == "201"), call
        assert ("WWW-Authenticate" in headers) == (status == "401"), call
        assert ("Retry-After" in headers) >= (status == "429"), call


def test_every_call_describes_the_errors_that_follow_from_it(document):
    for path, method, operation in operations(document):
        statuses = set(operation["responses"])
        assert {"429", "500"} <= statuses
        assert ("404" in statuses) >= ("{" in path)
        if operation.get("security"):
            assert {"401", "403"} <= statuses
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= statuses, f"{method} {path}"


def test_errors_are_in_the_form_of_their_base_path(documents):
    for name, dialect in DOCUMENTS.items():
        for call, status, response in responses(documents[name]):
            if int(status) < 400 or call == f"get {dialect.prefix}/health":
                continue
            schema = response["content"]["application/json"]["schema"]
            assert set(schema["required"]) == ERROR_FIELDS[dialect.name], call
            fields = schema["properties"]
            if dialect is DATA:
                fields = fields["error"]["properties"]
            assert fields["code"]["const"] == dialect.code_for(int(status))


def test_answers_are_in_the_envelope_of_their_base_path(documents):
    def one(name, path, status="200", method="get"):
        answer = documents[name]["paths"][path][method]["responses"][status]
        return answer["content"]["application/json"]["schema"]

    key = {"$ref": "#/components/schemas/ApiKey"}
    named = one("api_v1", "/api/v1/account/api-keys/{id}")
    assert named["properties"] == {"api_key": key}
    data = one("v1", "/v1/account/api-keys/{id}")
    assert data["properties"]["data"] == key
    many = one("api_v1", "/api/v1/account/api-keys")
    assert many["properties"]["api_keys"] == {"type": "array", "items": key}
    gone = one("v1", "/v1/account/api-keys/{id}", method="delete")
    assert gone["properties"]["data"]["properties"]["deleted"]["const"] is True


def test_lists_take_the_paging_of_their_base_path(documents):
    def paging(name, path):
        listed = documents[name]["paths"][path]["get"]["parameters"]
        return {one["name"] for one in listed}

    assert paging("api_v1", "/api/v1/account/api-keys") == {"limit", "offset"}
    assert paging("v1", "/v1/account/api-keys") == {"limit", "page", "cursor"}


def test_bodies_that_refuse_unknown_fields_say_so(document):
    for path, method, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            if name:
                schema = document["components"]["schemas"][name]
                assert schema["additionalProperties"] is False, f"{method} {path}"


def test_a_pipelines_flat_answer_is_described_at_v1_only(documents):
    def creates(name, path):
        return set(documents[name]["paths"][path]["post"]["responses"])

    assert {"200", "201"} <= creates("v1", "/v1/workflows")
    assert "200" not in creates("api_v1", "/api/v1/workflows")


# --- The console ---


def test_the_console_is_made_of_our_own_files_only(client):
    page = client.get(reverse("docs")).content.decode()
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(addresses) >= 7
    for address in addresses:
        assert address.startswith(("/static/", "/docs/", "?base="))
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address
    assert "<script>" not in page
    assert "<style" not in page
    assert "API Test Console" in page


def test_the_console_may_load_nothing_from_elsewhere(client):
    policy = client.get(reverse("docs"))["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "connect-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("name", ["docs.js", "docs.css", "mark.svg"])
def test_our_script_and_styles_name_no_other_host(name):
    text = Path(finders.find(f"craft/{name}")).read_text(encoding="utf-8")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(("name", "dialect"), [("api_v1", NAMED), ("v1", DATA)])
def test_the_documents_are_served(client, name, dialect):
    address = reverse("openapi", kwargs={"name": name})
    assert address == f"/docs/openapi/{name}.json"
    answer = client.get(address)
    assert answer["Content-Type"] == "application/json"
    assert all(path.startswith(f"{dialect.prefix}/") for path in answer.json()["paths"])
    assert answer.json() == json.loads(docs.document_path(name).read_text())
    again = client.get(address, headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_document_that_is_not_there_is_not_found(client):
    assert client.get("/docs/openapi/v2.json").status_code == 404
    assert client.post("/docs/").status_code == 405
