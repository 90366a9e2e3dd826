"""The node types that talk to others' services: what they show, send and say, at the wire."""

import asyncio
import base64
import json
import ssl
from email.message import EmailMessage

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from craft import egress
from integrations.clients import oauth2
from tests.craft.certificates import make_certificate
from tests.integrations.postman import postman_on_loopback
from tests.servers import free_port
from tests.workflows.calls import (
    CATALOGUE,
    EXECUTION_ID,
    error_of,
    faults_of,
    opened,
    output_of,
)
from workflows.engine.graph import compile_graph
from workflows.nodes import NODES

SECRET = "a-secret-value"


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return "127.0.0.1", 0


@pytest.fixture
def server(httpserver: HTTPServer, settings) -> HTTPServer:
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    oauth2.forget()
    return httpserver


def ask(config: dict, **given):
    return output_of("http", config, **given)


# --- http: credentials ---


@pytest.mark.parametrize(
    ("type", "fields", "headers", "query"),
    [
        ("api_key", {"value": SECRET}, {"X-API-Key": SECRET}, {"a": "1"}),
        (
            "api_key",
            {"value": SECRET, "header": "Authorization", "prefix": "Token "},
            {"Authorization": f"Token {SECRET}"},
            {"a": "1"},
        ),
        ("api_key", {"value": SECRET, "query": "key"}, {}, {"a": "1", "key": SECRET}),
        ("bearer", {"value": SECRET}, {"Authorization": f"Bearer {SECRET}"}, {"a": "1"}),
        (
            "basic",
            {"username": "ada", "password": "ü:x"},
            {"Authorization": "Basic " + base64.b64encode("ada:ü:x".encode()).decode()},
            {"a": "1"},
        ),
        ("custom", {"X-One": "1", "X-Two": "2"}, {"X-One": "1", "X-Two": "2"}, {"a": "1"}),
    ],
)  # fmt: skip
def test_http_shows_a_credential_as_its_type_says(
    type, fields, headers, query, server
) -> None:
    server.expect_request("/x", headers=headers, query_string=query).respond_with_data(
        "in"
    )
    config = {
        "url": server.url_for("/x"),
        "query": {"a": 1},
        "headers": {"authorization": "mine", "x-api-key": "mine"},
        "credential": "account",
    }
    assert ask(config, credentials=opened(type, **fields))["body"] == "in"


def client_of(server: HTTPServer, **more):
    fields = {
        "token_url": server.url_for("/token"),
        "client_id": "a client",
        "client_secret": SECRET,
    }
    return opened("oauth2_client", **fields, **more)


def test_http_fetches_a_token_once_and_anew_when_it_is_refused(server) -> None:
    tokens = iter(["first-token", "second-token"])

    def give(request: Request) -> Response:
        assert request.authorization.username == "a+client"
        said = {"access_token": next(tokens), "expires_in": 3600}
        return Response(json.dumps(said), mimetype="application/json")

    good = {"first-token"}

    def answer(request: Request) -> Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return Response("in" if token in good else "out", 200 if token in good else 401)

    server.expect_request("/token", method="POST").respond_with_handler(give)
    server.expect_request("/x").respond_with_handler(answer)
    config = {"url": server.url_for("/x"), "credential": "account"}
    credentials = client_of(server)
    hidden: list[str] = []
    for _ in range(2):
        ask(config, credentials=credentials, hidden=hidden)
    assert set(hidden) == {"first-token"}
    good = {"second-token"}
    assert ask(config, credentials=credentials)["body"] == "in"
    good = set()
    server.expect_oneshot_request("/token").respond_with_json({"access_token": "third"})
    tokens = iter(["third-token"])
    assert error_of("http", config, credentials=credentials).code == "http_status"
    asked = [request.path for request, _ in server.log]
    assert asked.count("/token") == 3
    server.check_assertions()


def test_many_that_need_a_token_at_once_wait_for_one_request(server) -> None:
    server.expect_request("/token").respond_with_json({"access_token": "t", "expires_in": 60})  # fmt: skip
    (client,) = client_of(server, send_as="body").values()

    async def all_at_once() -> list[str]:
        return await asyncio.gather(*(oauth2.access_token(client) for _ in range(20)))

    assert set(asyncio.run(all_at_once())) == {"t"}
    ((request, _),) = server.log
    assert request.form["client_secret"] == SECRET
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (400, '{"error": "invalid_scope"}', "token_refused", "invalid_scope"),
        (401, SECRET, "token_refused", "status 401"),
        (503, "", "token_failed", "status 503"),
        (200, "[]", "token_failed", "access_token"),
    ],
)
def test_a_token_server_that_gives_none_is_named(
    status, body, code, said, server
) -> None:
    server.expect_request("/token").respond_with_data(body, status=status)
    with pytest.raises(oauth2.TokenError, match=said) as caught:
        ask(
            {"url": server.url_for("/x"), "credential": "account"},
            credentials=client_of(server),
        )
    assert caught.value.code == code
    assert SECRET not in caught.value.message


# --- http: bodies ---


def test_http_sends_a_form(server) -> None:
    def answer(request: Request) -> Response:
        assert request.mimetype == "application/x-www-form-urlencoded"
        return Response(json.dumps(request.form.to_dict(flat=False)), mimetype="application/json")  # fmt: skip

    server.expect_request("/x", method="POST").respond_with_handler(answer)
    form = {"a": 1, "b": ["x", "ü&"], "c": True, "d": None}
    config = {"method": "POST", "url": server.url_for("/x"), "form": form}
    assert ask(config)["body"] == {"a": ["1"], "b": ["x", "ü&"], "c": ["true"], "d": [""]}  # fmt: skip


def test_http_sends_parts_and_the_same_bytes_again(server) -> None:
    def answer(request: Request) -> Response:
        file = request.files["file"]
        said = {
            "fields": request.form.to_dict(),
            "name": file.filename,
            "type": file.content_type,
            "content": base64.b64encode(file.read()).decode(),
        }
        return Response(json.dumps(said), mimetype="application/json")

    server.expect_request("/x", method="POST").respond_with_handler(answer)
    raw = base64.b64encode(b"\x89PNG\r\n--").decode()
    config = {
        "method": "POST",
        "url": server.url_for("/x"),
        "multipart": [
            {"name": "title", "value": "{{ input }}"},
            {"name": "file", "base64": raw, "filename": 'a"b\r\nX-Evil: 1.png', "content_type": "image/png"},
        ],
    }  # fmt: skip
    bodies = [output_of("http", config, "ü") for _ in range(2)]
    assert bodies[0]["body"] == {
        "fields": {"title": "ü"},
        "name": 'a"b%0D%0AX-Evil: 1.png',  # Werkzeug reads %22
        "type": "image/png",
        "content": raw,
    }
    sent = {request.get_data() for request, _ in server.log}
    assert len(sent) == 1


def test_http_sends_bytes(server) -> None:
    server.expect_request("/x", method="PUT", data=b"\x00\xff").respond_with_data("")
    config = {"method": "PUT", "url": server.url_for("/x"), "base64": "AP8="}
    assert ask(config)["status"] == 200


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"form": {}, "json": 1, "base64": ""}, {"form", "base64"}),
        ({"multipart": [{"name": "a"}]}, {"multipart.0"}),
        ({"multipart": []}, {"multipart"}),
        ({"pagination": {}}, {"pagination.by"}),
        ({"pagination": {"by": "cursor"}}, {"pagination.next"}),
        ({"pagination": {"by": "link", "max_pages": 101}}, {"pagination.max_pages"}),
        ({"credential": ""}, {"credential"}),
        ({"credential": "{{ input.name }}"}, {"credential"}),
        ({"headers": {"A": "{{ secrets }}"}}, {"headers.A"}),
        ({"headers": {"A": "{{ secrets[input.which] }}"}}, {"headers.A"}),
        ({"query": {"key": "{{ secrets.key }}"}}, {"query"}),
    ],
)
def test_a_bad_request_is_a_fault_where_it_stands(config, paths) -> None:
    found = faults_of("http", {"url": "https://a.example", **config})
    assert found.keys() == paths


@pytest.mark.parametrize(
    "config",
    [
        {"base64": "{{ input }}"},
        {"form": {"a": "{{ [[1]] }}"}},
        {"form": "{{ input }}"},
        {"multipart": [{"name": "a", "base64": "{{ input }}"}]},
        {"multipart": [{"name": "a", "value": "{{ [1] }}"}]},
        {"multipart": "{{ input }}"},
    ],
)
def test_http_says_when_a_body_is_none(config) -> None:
    whole = {"url": "https://a.example", "method": "POST", **config}
    assert error_of("http", whole, "no base64!").code == "invalid_config"


# --- http: pages ---


def pages(server: HTTPServer, by: str, **more):
    """Three pages of two items; each says what it was asked for."""

    def answer(request: Request) -> Response:
        number = int(request.args.get("page") or request.args.get("cursor") or 1)
        items = [number * 10, number * 10 + 1] if number <= 3 else []
        onward = number + 1 if number < 3 else None
        said = {
            "data": {"items": items},
            "next_cursor": onward,
            "next": f"/x?q=1&page={onward}" if onward else None,
        }
        links = {"Link": f'</y>; rel="prev", </x?q=1&page={onward}>; rel="next"'}
        return Response(json.dumps(said), headers=links if onward else {}, mimetype="application/json")  # fmt: skip

    server.expect_request("/x").respond_with_handler(answer)
    return {
        "url": server.url_for("/x"),
        "query": {"q": 1},
        "pagination": {"by": by, "items": "data.items", **more},
    }


@pytest.mark.parametrize(
    ("by", "more", "asked"),
    [
        ("link", {}, 3),
        ("url", {"next": "next"}, 3),
        ("cursor", {"next": "next_cursor"}, 3),
        ("page", {}, 4),
    ],
)
def test_http_asks_for_page_after_page(by, more, asked, server) -> None:
    output = ask(pages(server, by, **more))
    assert output["body"] == [10, 11, 20, 21, 30, 31]
    assert (output["pages"], output["has_more"]) == (asked, False)
    assert all("q=1" in request.url for request, _ in server.log)


def test_http_takes_no_more_pages_and_items_than_it_is_told(server) -> None:
    output = ask(pages(server, "cursor", next="next_cursor", max_pages=2))
    assert (output["body"], output["has_more"]) == ([10, 11, 20, 21], True)
    output = ask(pages(server, "cursor", next="next_cursor", max_items=3))
    assert (output["body"], output["pages"], output["has_more"]) == ([10, 11, 20], 2, True)  # fmt: skip


def test_each_page_has_an_idempotency_key_of_its_own(server) -> None:
    ask(pages(server, "cursor", next="next_cursor") | {"method": "POST"})
    key = f"{EXECUTION_ID}:node:"
    keys = [request.headers["Idempotency-Key"] for request, _ in server.log]
    assert keys == [key, f"{key}:page:2", f"{key}:page:3"]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"next": "https://evil.example/x"}, {"by": "url", "next": "next"}),
        ({"next": "//127.0.0.1:1/"}, {"by": "url", "next": "next"}),
        ({"next": "http://[/"}, {"by": "url", "next": "next"}),
        ({"next": 5}, {"by": "url", "next": "next"}),
        ({"next": "/x"}, {"by": "url", "next": "next"}),
        ({"next": {}}, {"by": "cursor", "next": "next"}),
        ({"items": 5}, {"by": "link", "items": "items"}),
    ],
)
def test_http_goes_to_no_other_host_and_in_no_circle(body, more, server) -> None:
    server.expect_request("/x").respond_with_json({"items": [], **body})
    more = {"items": "items", **more}
    config = {"url": server.url_for("/x"), "pagination": more, "credential": "account"}
    error = error_of("http", config, credentials=opened("bearer", value=SECRET))
    assert error.code == "invalid_page"
    assert len(server.log) == 1


@pytest.mark.parametrize(
    "pagination",
    [
        "{{ input }}",
        {"by": "cursor", "next": "{{ input.by }}"},
        {"by": "page", "max_pages": "{{ input.by }}"},
    ],
)
def test_http_says_when_an_expression_gave_no_way_to_page(pagination) -> None:
    config = {"url": "https://a.example", "pagination": pagination}
    assert error_of("http", config, {"by": []}).code == "invalid_config"


def test_a_body_that_is_the_list_needs_no_path(server) -> None:
    server.expect_request("/x").respond_with_json([1, 2])
    config = {"url": server.url_for("/x"), "pagination": {"by": "link"}}
    assert ask(config)["body"] == [1, 2]


# --- http: tried again ---


@pytest.mark.parametrize(
    ("config", "attempts"),
    [
        ({}, 3),
        ({"method": "DELETE"}, 3),
        ({"method": "POST"}, None),
        ({"method": "PATCH"}, None),
        ({"method": "{{ input.method }}"}, None),
    ],
)
def test_what_may_be_repeated_is_tried_again_unless_its_node_says(
    config, attempts
) -> None:
    node = {"id": "n", "type": "http", "config": {"url": "https://a.example", **config}}
    graph = compile_graph({"nodes": [node]}, CATALOGUE)
    retry = graph.nodes["n"].retry
    assert (retry and retry.max_attempts) == attempts
    once = compile_graph({"nodes": [{**node, "retry": {"max_attempts": 1}}]}, CATALOGUE)
    assert once.nodes["n"].retry.max_attempts == 1


# --- store ---


def test_store_goes_to_a_bucket_of_the_companys_own(settings) -> None:
    settings.S3_ACCESS_KEY_ID = settings.S3_SECRET_ACCESS_KEY = ""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        settings.OUTBOUND_ALLOW = [f"{host}:{port}"]
        url = f"http://{host}:{port}"
        client = boto3.resource("s3", endpoint_url=url, aws_access_key_id="own", aws_secret_access_key=SECRET, region_name="us-east-1")  # fmt: skip
        client.create_bucket(Bucket="own-bucket")
        account = opened("aws", access_key_id="own", secret_access_key=SECRET, endpoint_url=url)  # fmt: skip
        config = {"target": "s3://own-bucket/a/", "credential": "account"}
        output = output_of("store", config, {"a": 1}, credentials=account)
        assert output["stored"] == f"s3://own-bucket/a/{EXECUTION_ID}.json"
        stored = client.Object("own-bucket", f"a/{EXECUTION_ID}.json").get()
        assert stored["Body"].read() == b'{"a":1}'
        config["target"] = "s3://no-such-bucket/a/"
        error = error_of("store", config, 1, credentials=account)
        assert (error.code, "NoSuchBucket" in error.message) == ("store_refused", True)
    finally:
        moto.stop()


def test_store_shows_a_credential_to_a_url(server) -> None:
    server.expect_request(
        "/drop", method="PUT", headers={"Authorization": f"Bearer {SECRET}"}
    ).respond_with_data("")
    config = {"target": server.url_for("/drop"), "credential": "account"}
    assert output_of("store", config, 1, credentials=opened("bearer", value=SECRET))
    aws = opened("aws", access_key_id="own", secret_access_key=SECRET)
    assert error_of("store", config, 1, credentials=aws).code == "invalid_config"
    assert faults_of("store", {"target": "file://a/", "credential": "x"}).keys() == {"credential"}  # fmt: skip


# --- email ---


@pytest.fixture
def postman(settings):
    """The platform's mail server."""
    with postman_on_loopback() as postman:
        settings.MAIL_IS_KEPT = False
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", postman.port
        settings.DEFAULT_FROM_EMAIL = "Craft <craft@example.com>"
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{postman.port}"]
        yield postman


def own_account(postman, **more):
    fields = {
        "host": "127.0.0.1",
        "port": postman.port,
        "security": "none",
        "username": "shop@example.com",
        "password": "a-mail-password",
    }
    return opened("smtp", **{**fields, **more})


MAIL = {"to": "ada@example.com", "subject": "Hello", "text": "Hello Ada"}


def test_the_example_of_email_runs(postman) -> None:
    example = NODES["email"].example
    output = output_of("email", example["config"], example["input"])
    assert output == example["output"]
    (message,) = postman.received
    assert message["Subject"] == "Order 7 is on its way"
    assert message["From"] == "Craft <craft@example.com>"
    assert message.get_content().strip() == "Hello Ada, your order has left us."


def test_a_mail_goes_by_an_account_of_the_companys_own(postman) -> None:
    config = MAIL | {
        "to": ['"Lovelace, Ada" <ada@example.com>', "Zoë <zoe@example.com>"],
        "cc": "bob@example.com, ada@example.com",
        "bcc": "secret@example.com",
        "reply_to": "desk@example.com",
        "from": "Shop <shop@example.com>",
        "html": "<p>Hello</p>",
        "credential": "account",
    }
    output = output_of("email", config, credentials=own_account(postman))
    (message,), (recipients,) = postman.received, postman.envelopes
    assert recipients == output["recipients"] == ["ada@example.com", "zoe@example.com", "bob@example.com", "secret@example.com"]  # fmt: skip
    assert message["To"] == '"Lovelace, Ada" <ada@example.com>, Zoë <zoe@example.com>'
    assert message["From"] == "Shop <shop@example.com>"
    assert message["Reply-To"] == "desk@example.com"
    assert "secret@example.com" not in message.as_string()
    assert message.get_body(("plain",)).get_content().strip() == "Hello Ada"
    assert message.get_body(("html",)).get_content().strip() == "<p>Hello</p>"
    assert postman.logins == 1


def test_a_repeated_mail_has_the_same_message_id(postman) -> None:
    for attempt in (1, 2):
        output_of("email", MAIL, attempt=attempt)
    output_of("email", MAIL, idempotency_key="another")
    ids = [message["Message-ID"] for message in postman.received]
    assert ids[0] == ids[1] != ids[2]


def test_whom_the_server_refuses_is_named(postman) -> None:
    postman.refused = {"nobody@example.com"}
    config = MAIL | {"cc": "nobody@example.com", "credential": "account"}
    account = own_account(postman)
    output = output_of("email", config, credentials=account)
    assert (output["recipients"], output["refused"]) == (["ada@example.com"], ["nobody@example.com"])  # fmt: skip
    config = {**MAIL, "to": "nobody@example.com", "credential": "account"}
    with pytest.raises(Exception, match="code 550") as caught:
        output_of("email", config, credentials=account)
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    ("account", "answer", "code"),
    [
        ({}, "554 no", "mail_refused"),
        ({}, "451 later", "mail_failed"),
        ({"password": "wrong-password"}, "", "mail_refused"),
        ({"security": "starttls"}, "", "mail_refused"),
        ({"security": "tls"}, "", "mail_failed"),
        ({"port": free_port()}, "", "mail_failed"),
        ({"host": "10.0.0.1"}, "", "egress_refused"),
    ],
)
def test_what_a_mail_server_refuses_is_said_without_the_password(
    account, answer, code, postman, settings
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    postman.answer = answer
    config = MAIL | {"credential": "account"}
    with pytest.raises(Exception, match=r"\.$") as caught:
        output_of("email", config, credentials=own_account(postman, **account))
    assert caught.value.code == code
    assert "password" not in caught.value.message.replace("user name and password", "")


def test_mail_is_encrypted_and_the_certificate_is_checked(
    tmp_path, monkeypatch, settings
) -> None:
    certificate, key = make_certificate(tmp_path, "mail.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setattr(egress, "look_up", lambda host, port: ["127.0.0.1"])
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    config = MAIL | {"credential": "account", "from": "shop@example.com"}
    with postman_on_loopback(context) as postman:
        account = own_account(postman, host="mail.example.com", security="starttls")
        with pytest.raises(Exception, match="certificate is not valid"):
            output_of("email", config, credentials=account)
        assert (postman.logins, postman.received) == (0, [])
        trusting = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr(egress, "_ssl_context", lambda: trusting)
        output_of("email", config, credentials=account)
        assert len(postman.received) == 1


def test_a_connection_without_tls_needs_the_operators_word(
    postman, settings, monkeypatch
) -> None:
    monkeypatch.setattr(egress, "look_up", lambda host, port: ["93.184.215.14"])
    account = own_account(postman, host="mail.example.com")
    with pytest.raises(egress.EgressError, match="without TLS"):
        output_of("email", MAIL | {"credential": "account"}, credentials=account)


def test_a_sandbox_sends_no_mail(postman) -> None:
    for config in (MAIL, MAIL | {"credential": "account"}):
        with egress.test_mode(True), pytest.raises(egress.TestModeError):
            output_of("email", config, credentials=own_account(postman))
    assert postman.received == []


def test_without_a_mail_server_that_is_said(settings) -> None:
    settings.MAIL_IS_KEPT = True
    assert error_of("email", MAIL).code == "mail_not_configured"


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"text": None, "to": 5}, {"to", "text"}),
        ({"to": "ada"}, {"to"}),
        ({"to": "a@example.com, b@"}, {"to"}),
        ({"to": []}, set()),
        ({"cc": ["a@example.com\nBcc: b@example.com"]}, {"cc"}),
        ({"from": "a@example.com"}, {"from"}),
        ({"sbject": "x"}, {"sbject"}),
    ],
)
def test_a_bad_mail_is_a_fault_where_it_stands(config, paths) -> None:
    assert faults_of("email", {**MAIL, **config}).keys() == paths
    assert faults_of("email", {"to": "a@example.com", "subject": "x"}) != {}


@pytest.mark.parametrize(
    "config",
    [
        {"subject": "Hello\r\nBcc: victim@example.com"},
        {"subject": "Hello\u2028Bcc: victim@example.com"},
        {"subject": "x" * 1_000},
        {"to": "ada@example.com\r\nBcc: victim@example.com"},
        {"to": "Ada\r\nBcc: victim@example.com <ada@example.com>"},
        {"reply_to": "a@example.com\nX: y"},
        {"to": []},
        {"to": ["ada@example.com", 5]},
        {"bcc": [f"a{n}@example.com" for n in range(50)]},
        {"text": "x" * 2_000_001},
    ],
)
def test_nothing_gets_into_a_header_by_the_side(config, postman) -> None:
    given = {name: f"{{{{ input.{name} }}}}" for name in config}
    assert error_of("email", MAIL | given, config).code == "invalid_config"
    assert postman.received == []


def test_a_name_can_not_break_out_of_its_quotes(postman) -> None:
    output_of("email", MAIL | {"to": '"A\\" <evil@example.com>, \\"" <ada@example.com>'})  # fmt: skip
    assert postman.envelopes == [["ada@example.com"]]
    (message,) = postman.received
    assert isinstance(message, EmailMessage)
    assert [each.addr_spec for each in message["To"].addresses] == ["ada@example.com"]


# --- notify ---


TOKEN = "123456:a-bots-token"


@pytest.mark.parametrize(
    ("service", "path", "headers", "body"),
    [
        ("slack", "/api/chat.postMessage", {"Authorization": f"Bearer {TOKEN}"}, {"channel": "7", "text": "Hi 7"}),
        ("discord", "/api/channels/7/messages", {"Authorization": f"Bot {TOKEN}"}, {"content": "Hi 7", "allowed_mentions": {"parse": []}}),
        ("telegram", f"/api/bot{TOKEN}/sendMessage", {}, {"chat_id": "7", "text": "Hi 7"}),
    ],
)  # fmt: skip
def test_notify_writes_with_a_token(service, path, headers, body, server) -> None:
    server.expect_request(path, method="POST", headers=headers, json=body).respond_with_json({"ok": True})  # fmt: skip
    config = {"service": service, "text": "Hi {{ input }}", "channel": 7, "api_url": server.url_for("/api")}  # fmt: skip
    output = output_of("notify", config | {"token": TOKEN}, 7)
    assert output == {"sent": True, "service": service, "status": 200}
    by_name = config | {"credential": "account"}
    assert output_of("notify", by_name, 7, credentials=opened("api_key", value=TOKEN))


@pytest.mark.parametrize(
    ("service", "field"),
    [("slack", "text"), ("discord", "content"), ("teams", None), ("generic", "text")],
)
def test_notify_writes_to_a_webhook(service, field, server) -> None:
    def answer(request: Request) -> Response:
        said = request.get_json()
        card = said["attachments"][0]["content"]["body"][0] if not field else said
        assert card[field or "text"] == "Hi"
        return Response("ok")

    server.expect_request("/hook", method="POST").respond_with_handler(answer)
    config = {"service": service, "text": "Hi"}
    hook = server.url_for("/hook")
    assert output_of("notify", config | {"webhook_url": hook})["sent"] is True
    credentials = opened("bearer", value=hook)
    assert output_of("notify", config | {"credential": "account"}, credentials=credentials)  # fmt: skip
    server.check_assertions()


def test_the_example_of_notify_runs(server) -> None:
    example = NODES["notify"].example
    server.expect_request("/chat.postMessage").respond_with_json({"ok": True})
    credentials = {"Slack Bot Token": opened("api_key", value=TOKEN)["account"]}
    config = example["config"] | {"api_url": server.url_for("/")}
    output = output_of("notify", config, example["input"], credentials=credentials)
    assert output == example["output"]


def test_notify_says_what_the_service_said(server) -> None:
    config = {"service": "slack", "text": "x", "token": TOKEN, "channel": "c", "api_url": server.url_for("/")}  # fmt: skip
    server.expect_request("/chat.postMessage").respond_with_json({"ok": False, "error": "channel_not_found"})  # fmt: skip
    error = error_of("notify", config)
    assert (error.code, error.message) == ("not_sent", "slack did not take it: channel_not_found")  # fmt: skip
    server.clear()
    server.expect_request("/chat.postMessage").respond_with_data("slow down", status=429, headers={"Retry-After": "3"})  # fmt: skip
    error = error_of("notify", config)
    assert (error.retryable, error.retry_after) == (True, 3)


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"service": "slack"}, {"credential"}),
        ({"service": "irc", "token": "x"}, {"service"}),
        ({"service": "slack", "token": "x", "credential": "y"}, {"token"}),
        ({"service": "slack", "token": "x"}, {"channel"}),
        ({"service": "teams", "token": "x", "channel": "c"}, {"token"}),
        ({"service": "telegram", "webhook_url": "https://a.example"}, {"webhook_url"}),
        ({"service": "generic", "webhook_url": "http://10.0.0.1/"}, {"webhook_url"}),
        ({"service": "generic", "webhook_url": "{{ secrets.hook }}"}, set()),
    ],
)
def test_a_bad_message_is_a_fault_where_it_stands(config, paths) -> None:
    assert faults_of("notify", {"text": "x", **config}).keys() == paths


def test_notify_says_what_it_can_not_send() -> None:
    long = {"service": "discord", "webhook_url": "https://a.example", "text": "x" * 2_001}  # fmt: skip
    assert "2,000" in error_of("notify", long).message
    telegram = {"service": "telegram", "credential": "account", "text": "x"}
    hook = opened("bearer", value="https://a.example/hook")
    assert "token" in error_of("notify", telegram, credentials=hook).message
    token = opened("bearer", value=TOKEN)
    assert "channel" in error_of("notify", telegram, credentials=token).message
