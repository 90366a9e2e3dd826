"""Credentials by the API: what they take, what they tell, and what nobody ever sees."""

import base64

import pytest
from django.test import Client
from django.urls import reverse
from pytest_httpserver import HTTPServer
from werkzeug import Response

from accounts.models import AuditEntry, User
from accounts.services.sandbox import sandbox_of
from craft import vault
from craft.exceptions import ConflictError
from integrations.clients import oauth2
from integrations.models import TYPES, Credential
from integrations.services.credentials import (
    create_credential,
    open_credentials,
    update_credential,
)
from tests.factories import PASSWORD, make_key, make_workflow
from tests.integrations.postman import postman_on_loopback

PATH = "/v1/credentials"
SECRET = "xoxb-a-secret-that-nobody-sees"

GIVEN = {
    "api_key": {"value": SECRET},
    "bearer": {"value": SECRET},
    "basic": {"fields": {"username": "ada", "password": SECRET}},
    "oauth2_client": {
        "fields": {
            "token_url": "https://id.example.com/token",
            "client_id": "craft",
            "client_secret": SECRET,
            "scope": "read write",
        }
    },
    "aws": {"fields": {"access_key_id": "AKIA1", "secret_access_key": SECRET}},
    "smtp": {
        "fields": {
            "host": "mail.example.com",
            "username": "ada@example.com",
            "password": SECRET,
        }
    },
    "custom": {"fields": {"X-One": SECRET, "two": SECRET}},
}


def make(person, type="api_key", name="Slack Bot Token", **given) -> Credential:
    fields = given or GIVEN[type]
    return create_credential(
        company=person.company, user=person.user, name=name, type=type, **fields
    )


# --- The calls of document 003 ---


def test_the_documented_calls_work_as_they_are_written(alice, api):
    client = api(alice)
    body = {"name": "Slack Bot Token", "type": "api_key", "value": "xoxb-your-token"}
    made = client.post(PATH, body, format="json")
    assert made.status_code == 201
    row = made.json()["data"]
    assert row["name"] == "Slack Bot Token"
    assert row["type"] == "api_key"
    assert "value" not in row
    listed = client.get(PATH).json()
    assert [each["id"] for each in listed["data"]] == [row["id"]]
    gone = client.delete(f"{PATH}/{row['id']}")
    assert gone.json() == {"success": True, "data": {"id": row["id"], "deleted": True}}
    assert client.get(PATH).json()["data"] == []


def test_at_the_other_base_path_it_is_named(alice, api):
    body = {"name": "Token", "type": "bearer", "value": SECRET}
    made = api(alice).post("/api/v1/credentials", body, format="json").json()
    assert made["credential"]["is_set"] is True
    assert api(alice).get("/api/v1/credentials").json()["total"] == 1


@pytest.mark.parametrize("type", TYPES)
def test_of_each_type_everything_is_told_but_its_secrets(type, alice, api):
    client = api(alice)
    body = {"name": "One", "type": type, **GIVEN[type]}
    made = client.post(PATH, body, format="json")
    assert made.status_code == 201, made.content
    row = made.json()["data"]
    assert row["is_set"] is True
    kind = TYPES[type]
    given = GIVEN[type].get("fields", {})
    assert row["fields"] == {
        name: value for name, value in given.items() if not kind.is_secret(name)
    }
    assert row["secret_fields"]
    answers = [
        made,
        client.get(PATH),
        client.get(f"{PATH}/{row['id']}"),
        client.patch(f"{PATH}/{row['id']}", {"name": "Two"}, format="json"),
        client.get("/v1/account/audit-log"),
        client.get(f"{PATH}/{row['id']}/used-by"),
    ]
    for answer in answers:
        assert answer.status_code < 300
        assert SECRET not in answer.content.decode()
    stored = Credential.unscoped.get()
    assert SECRET not in stored.sealed + str(stored.plain) + repr(stored)
    opened = stored.open()
    assert SECRET in opened.secrets
    assert SECRET not in repr(opened)


def test_the_types_are_described_with_their_schemas(vera, api):
    rows = api(vera).get(f"{PATH}/types").json()["data"]
    assert [row["type"] for row in rows] == list(TYPES)
    (smtp,) = (row for row in rows if row["type"] == "smtp")
    assert smtp["fields_schema"]["properties"]["password"]["x-secret"] is True
    assert smtp["fields_schema"]["required"] == ["host"]


# --- Faults ---


@pytest.mark.parametrize(
    ("body", "path", "sentence"),
    [
        ({"type": "api_key"}, "value", "required"),
        ({"type": "api_key", "value": ""}, "value", "blank"),
        ({"type": "token", "value": "x"}, "type", "valid choice"),
        ({"type": "basic", "value": "x"}, "value", "username, password"),
        ({"type": "basic", "fields": {"username": "a"}}, "fields.password", "required"),
        (
            {"type": "basic", "fields": {"username": 5, "password": "x"}},
            "fields.username",
            "a text",
        ),
        (
            {"type": "api_key", "value": "x", "fields": {"heder": "X"}},
            "fields.heder",
            "Known are",
        ),
        (
            {"type": "api_key", "value": "x", "fields": {"value": "y"}},
            "value",
            "fields.value",
        ),
        (
            {"type": "api_key", "value": "x", "fields": {"header": "a b"}},
            "fields.header",
            "header",
        ),
        (
            {
                "type": "bearer",
                "value": "x",
                "fields": {"test_url": "http://10.0.0.1/"},
            },
            "fields.test_url",
            "public",
        ),
        ({"type": "smtp", "fields": {"host": "a.example", "port": 0}}, "fields.port", "from 1"),
        (
            {"type": "smtp", "fields": {"host": "a.example", "security": "ssl"}},
            "fields.security",
            "starttls",
        ),
        ({"type": "custom", "fields": {}}, "fields", "empty"),
        ({"type": "custom", "fields": {"a b": "x"}}, "fields", "letters"),
        ({"type": "custom", "fields": {"a": 1}}, "fields.a", "a text"),
        ({"type": "custom", "fields": "x"}, "fields", "object"),
        ({"type": "bearer", "value": "x", "name": "cred_1"}, "name", "cred_"),
        ({"type": "bearer", "value": "x", "name": "a\nb"}, "name", "printable"),
    ],
)  # fmt: skip
def test_a_fault_stands_at_its_field_and_shows_no_value(
    body, path, sentence, alice, api
):
    answer = api(alice).post(PATH, {"name": "New", **body}, format="json")
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["details"][path]
    assert not Credential.unscoped.exists()


def test_names_are_unique_in_a_company_and_free_in_another(alice, charlie, api):
    make(alice)
    make(charlie)
    other = make(alice, name="Other")
    body = {"name": "Slack Bot Token", "type": "bearer", "value": "x"}
    assert api(alice).post(PATH, body, format="json").status_code == 409
    with pytest.raises(ConflictError, match="already"):
        update_credential(other, name="Slack Bot Token")


def test_a_viewer_reads_and_a_member_writes(bob, vera, api):
    credential = make(bob)
    path = f"{PATH}/{credential.pk}"
    assert api(vera).get(path).status_code == 200
    for answer in (
        api(vera).patch(path, {"value": "x"}, format="json"),
        api(vera).post(f"{path}/test"),
        api(vera).delete(path),
    ):
        assert answer.status_code == 403
    assert api(bob).patch(path, {"value": "another"}, format="json").status_code == 200


# --- Changes ---


def test_a_rotation_is_an_event_without_the_value(alice, api):
    credential = make(alice)
    answer = api(alice).patch(
        f"{PATH}/{credential.pk}", {"value": "the-next-secret"}, format="json"
    )
    assert answer.status_code == 200
    entry = AuditEntry.unscoped.latest("pk")
    assert entry.type == "credential.rotated"
    assert entry.resource_id == credential.pk
    assert "the-next-secret" not in str(entry.data)
    before = credential.rotated_at
    credential.refresh_from_db()
    assert credential.open().value == "the-next-secret"
    assert credential.rotated_at > before


def test_fields_are_merged_and_null_removes_one(alice):
    credential = make(alice, "smtp")
    changed = update_credential(
        credential, fields={"port": 465, "username": None, "security": "tls"}
    )
    assert changed.plain == {
        "host": "mail.example.com",
        "port": 465,
        "security": "tls",
    }
    assert changed.open().fields["password"] == SECRET
    assert AuditEntry.unscoped.latest("pk").type == "credential.updated"


def test_a_user_name_needs_its_password(alice, api):
    fields = {"host": "mail.example.com", "username": "ada"}
    body = {"name": "Mail", "type": "smtp", "fields": fields}
    answer = api(alice).post(PATH, body, format="json")
    details = answer.json()["error"]["details"]
    assert details == {"fields.password": "This field is required with username."}
    open_server = make(alice, "smtp", fields={"host": "mail.example.com"})
    assert open_server.is_set


def test_the_same_again_changes_nothing_and_tells_nothing(alice):
    credential = make(alice)
    known = AuditEntry.unscoped.count()
    update_credential(credential, name=credential.name, value=SECRET)
    assert AuditEntry.unscoped.count() == known


def test_the_type_stays(alice, api):
    credential = make(alice)
    path = f"{PATH}/{credential.pk}"
    answer = api(alice).patch(path, {"type": "bearer"}, format="json")
    assert "type" in answer.json()["error"]["details"]
    row = api(alice).get(path).json()["data"]
    assert api(alice).put(path, row, format="json").status_code == 200


def test_a_secret_opens_in_its_own_row_only(alice):
    one, other = make(alice), make(alice, name="Other")
    other.sealed = one.sealed
    with pytest.raises(vault.UnsealError):
        other.open()


def test_what_lost_its_key_is_named_and_can_be_given_again(alice, settings):
    settings.ENCRYPTION_KEYS = f"k1:{base64.b64encode(b'1' * 32).decode()}"
    credential = make(alice)
    settings.ENCRYPTION_KEYS = f"k2:{base64.b64encode(b'2' * 32).decode()}"
    found = open_credentials(
        company_id=alice.company.pk, names={"Slack Bot Token", "none"}
    )
    assert found.opened == {}
    assert "CRAFT_ENCRYPTION_KEYS" in found.faults["Slack Bot Token"]
    assert found.faults["none"] == "There is no credential 'none'."
    assert update_credential(credential, value="again").open().value == "again"


# --- In use ---


def using(person, **config):
    node = {"id": "call", "type": "http", "config": {"url": "https://a.example", **config}}  # fmt: skip
    return make_workflow(person, name="Uses it", nodes=[node], edges=[])


def test_what_is_in_use_is_not_deleted_unless_forced(alice, charlie, api):
    credential = make(alice)
    make(charlie)
    by_name = using(alice, credential="Slack Bot Token")
    by_id = using(alice, credential=credential.pk)
    by_expression = using(alice, headers={"X-Key": "{{ secrets['Slack Bot Token'] }}"})
    using(alice, body="credential secrets")
    using(charlie, credential="Slack Bot Token")
    client, path = api(alice), f"{PATH}/{credential.pk}"
    used = client.get(f"{path}/used-by").json()["data"]
    assert used["count"] == 3
    assert {use["id"] for use in used["used_by"]} == {
        by_name.pk,
        by_id.pk,
        by_expression.pk,
    }
    refused = client.delete(path)
    assert refused.status_code == 409
    assert by_name.pk in refused.json()["error"]["message"]
    renamed = client.patch(path, {"name": "Other"}, format="json")
    assert renamed.status_code == 409
    assert client.delete(f"{path}?force=maybe").status_code == 400
    assert client.delete(f"{path}?force=true").status_code == 200


# --- A sandbox ---


def test_a_sandbox_knows_the_name_and_not_the_secret(alice, api):
    credential = make(alice)
    live = using(alice, credential=credential.pk)
    twin = sandbox_of(alice.company)
    copy = Credential.objects.for_company(twin).get()
    assert (copy.name, copy.type, copy.sealed) == (credential.name, "api_key", "")
    assert copy.is_set is False
    found = open_credentials(company_id=twin.pk, names={credential.name})
    assert "sandbox" in found.faults[credential.name]
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice, mode='test')}")
    (workflow,) = client.get("/v1/workflows").json()["data"]
    assert workflow["id"] != live.pk
    used = client.get(f"{PATH}/{copy.pk}/used-by").json()["data"]
    assert [use["id"] for use in used["used_by"]] == [workflow["id"]]
    path = f"{PATH}/{copy.pk}"
    given = client.patch(path, {"value": "a-test-secret"}, format="json")
    assert given.json()["data"]["is_set"] is True
    credential.refresh_from_db()
    assert credential.open().value == SECRET


# --- Tests ---


@pytest.fixture
def server(httpserver: HTTPServer, settings) -> HTTPServer:
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    oauth2.forget()
    return httpserver


def tried(api, person, credential):
    answer = api(person).post(f"{PATH}/{credential.pk}/test")
    assert answer.status_code == 200
    assert SECRET not in answer.content.decode()
    return answer.json()["data"]


@pytest.mark.parametrize(
    ("type", "given", "header", "value"),
    [
        ("api_key", {"value": SECRET}, "X-API-Key", SECRET),
        ("bearer", {"value": SECRET}, "Authorization", f"Bearer {SECRET}"),
        (
            "basic",
            GIVEN["basic"],
            "Authorization",
            "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode(),
        ),
    ],
)
def test_a_test_shows_the_credential_where_it_says(
    type, given, header, value, alice, api, server
):
    server.expect_request("/me", headers={header: value}).respond_with_data("hello")
    fields = {**given.get("fields", {}), "test_url": server.url_for("/me")}
    credential = make(alice, type, **{**given, "fields": fields})
    trial = tried(api, alice, credential)
    assert (trial["success"], trial["tested"]) == (True, "request")
    server.clear()
    server.expect_request("/me").respond_with_data(SECRET, status=401)
    trial = tried(api, alice, credential)
    assert (trial["success"], trial["tested"]) == (False, "request")
    assert "401" in trial["message"]


def test_without_a_url_its_shape_is_all_that_is_tested(alice, api):
    for type in ("api_key", "aws", "custom"):
        trial = tried(api, alice, make(alice, type, name=type))
        assert (trial["success"], trial["tested"]) == (True, "shape")


def test_an_oauth2_client_fetches_a_token(alice, api, server):
    def answer(request):
        assert request.form["grant_type"] == "client_credentials"
        assert request.form["scope"] == "read write"
        ok = request.authorization.password == SECRET
        said = {"access_token": "t1"} if ok else {"error": "invalid_client"}
        return Response(str(said).replace("'", '"'), 200 if ok else 401)

    server.expect_request("/token", method="POST").respond_with_handler(answer)
    fields = {**GIVEN["oauth2_client"]["fields"], "token_url": server.url_for("/token")}
    credential = make(alice, "oauth2_client", fields=fields)
    trial = tried(api, alice, credential)
    assert (trial["success"], trial["tested"]) == (True, "token")
    update_credential(credential, fields={"client_secret": "wrong"})
    trial = tried(api, alice, credential)
    assert trial["success"] is False
    assert trial["message"].endswith("invalid_client.")
    server.check_assertions()


def test_an_smtp_account_logs_in(alice, api, settings):
    with postman_on_loopback() as postman:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{postman.port}"]
        fields = {
            "host": "127.0.0.1",
            "port": postman.port,
            "security": "none",
            "username": "ada",
            "password": "a-mail-password",
        }
        credential = make(alice, "smtp", fields=fields)
        trial = tried(api, alice, credential)
        assert (trial["success"], trial["tested"]) == (True, "login")
        credential = update_credential(credential, fields={"password": "wrong"})
        assert "password" in tried(api, alice, credential)["message"]
        settings.OUTBOUND_ALLOW = []
        assert "not a public address" in tried(api, alice, credential)["message"]


# --- The console ---


def test_the_console_shows_that_it_is_there_and_not_what_is_in_it(alice):
    operator = User.objects.create_superuser("olive@example.com", PASSWORD)
    console = Client()
    console.force_login(operator)
    credential = make(alice, "basic", name="Shop")
    pages = [
        console.get(reverse("admin:integrations_credential_changelist")),
        console.get(
            reverse("admin:integrations_credential_change", args=[credential.pk])
        ),
    ]
    for page in pages:
        assert page.status_code == 200
        text = page.content.decode()
        assert "Shop" in text
        assert SECRET not in text
        assert credential.sealed not in text
    delete = reverse("admin:integrations_credential_delete", args=[credential.pk])
    assert console.post(delete, {"post": "yes"}).status_code == 302
    assert not Credential.unscoped.exists()
    assert AuditEntry.unscoped.latest("pk").type == "credential.deleted"
