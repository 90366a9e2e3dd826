"""Data sources as document 001 shows them, at both base paths."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from datasources import services
from datasources.models import DataSource, DataTable
from tests.datasources.conftest import ORDERS

URL = "/api/v1/data-sources"


def send(client, *files, url=f"{URL}/upload", **fields):
    parts = [SimpleUploadedFile(name, content.encode()) for name, content in files]
    return client.post(url, {"file": parts, **fields}, format="multipart")


@pytest.fixture
def heard(monkeypatch):
    """What is published of data sources."""
    heard = []
    monkeypatch.setattr(services, "publish", heard.append)
    return heard


# --- Upload ---


def test_upload_makes_a_source(alice, api, heard):
    answer = send(api(alice), ("orders.csv", ORDERS))
    assert answer.status_code == 201
    source = answer.json()["data_source"]
    assert source["connection_id"] == source["id"]
    assert source["id"].startswith("ds_")
    assert (source["source_name"], source["source_type"], source["status"]) == ("orders.csv", "file", "connected")  # fmt: skip
    assert source["connection_config"] == {}
    assert source["created_by"] == alice.user.pk
    (table,) = source["schema"]["tables"]
    assert (table["name"], table["row_count"], table["file"]) == ("orders", 6, "orders.csv")  # fmt: skip
    assert table["columns"][1] == {"name": "amount", "type": "DOUBLE"}
    assert table["sample_rows"][0] == {"id": 1, "amount": 10.5, "name": "Anna", "day": "2025-01-05", "paid": True}  # fmt: skip
    assert answer["Location"] == f"http://testserver{URL}/{source['id']}"
    assert [(event.type, event.company_id, event.data["connection_id"]) for event in heard] == [("data_source.created", alice.company.pk, source["id"])]  # fmt: skip


def test_upload_takes_several_files_and_a_name(alice, api):
    answer = send(api(alice), ("a.csv", "x\n1\n"), ("b.json", '[{"y": 2}]'), source_name="Both", url="/v1/data-sources/upload")  # fmt: skip
    source = answer.json()["data"]
    assert source["source_name"] == "Both"
    assert [table["name"] for table in source["schema"]["tables"]] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"file": "/etc/passwd"},
        {"file": {"path": "/etc/passwd"}},
        {"files": {"x": {"filepath": "/etc/passwd"}}},
        {"source_name": "x", "file": [{"temporary_file_path": "/etc/passwd"}]},
    ],
)
def test_a_file_is_a_part_of_a_form_and_nothing_else(alice, api, body):
    answer = api(alice).post(f"{URL}/upload", body, format="json")
    assert answer.status_code == 415
    assert answer.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert not DataSource.objects.for_company(alice.company).exists()


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({}, "file"),
        ({"file": "/etc/passwd"}, "file.0"),
        ({"files": SimpleUploadedFile("a.csv", b"x\n1\n")}, "files"),
        ({"file": SimpleUploadedFile("a.csv", b"")}, "file.0"),
        ({"file": SimpleUploadedFile("a.csv", b"a,b\n1\n")}, "file"),
        ({"file": SimpleUploadedFile("a.csv", b"x\n1\n"), "company": "1"}, "company"),
        ({"file": SimpleUploadedFile("a.csv", b"x\n1\n"), "source_name": "x" * 201}, "source_name"),
    ],
)  # fmt: skip
def test_a_faulty_form_is_told_what_is_wrong(alice, api, parts, field):
    answer = api(alice).post(f"{URL}/upload", parts, format="multipart")
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]
    assert not DataSource.objects.for_company(alice.company).exists()


def test_a_broken_form_is_a_400(alice, api):
    answer = api(alice).post(f"{URL}/upload", b"--x\r\nrubbish", content_type="multipart/form-data; boundary=y")  # fmt: skip
    assert answer.status_code == 400


def test_an_upload_that_is_too_large_is_refused_unread(alice, api, settings):
    settings.UPLOAD_MAX_BYTES = 100_000
    answer = send(api(alice), ("a.csv", "x\n" + "1\n" * 100_000))
    assert answer.status_code == 413
    assert answer.json()["code"] == "PAYLOAD_TOO_LARGE"
    assert send(api(alice), ("a.csv", "x\n" + "1\n" * 1000)).status_code == 201


def test_a_table_that_is_too_large_is_a_413(alice, api):
    answer = send(api(alice), ("a.csv", ",".join(f"c{n}" for n in range(2001))))
    assert answer.status_code == 413
    assert "2,001 columns" in answer.json()["message"]


def test_incoming_files_do_not_stay(alice, api, settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    assert send(api(alice), ("a.csv", "x\n1\n")).status_code == 201
    assert send(api(alice), ("a.csv", "x,y\n1\n")).status_code == 400
    assert list(tmp_path.iterdir()) == []


# --- Reading ---


def test_sources_are_listed(alice, api, shop):
    listed = api(alice).get(URL).json()
    (source,) = listed["data_sources"]
    assert source["connection_id"] == shop.pk
    assert (source["source_name"], source["source_type"], source["status"]) == ("Shop", "file", "connected")  # fmt: skip
    assert source["created_at"].endswith("Z")
    assert "schema" not in source
    assert (listed["total"], listed["limit"], listed["offset"]) == (1, 20, 0)
    assert api(alice).get("/v1/data-sources").json()["data"] == [source]


def test_a_list_asks_the_database_as_often_for_one_as_for_many(alice, api, shop, django_assert_max_num_queries):  # fmt: skip
    client = api(alice)
    client.get(URL)
    for number in range(15):
        copy = DataSource.objects.create(company=alice.company, source_name=f"S{number}")  # fmt: skip
        DataTable.objects.create(company=alice.company, source=copy, name="t")
    with django_assert_max_num_queries(4):  # the key, its use, the count, the rows
        assert len(client.get(URL).json()["data_sources"]) == 16


def test_a_source_is_shown_with_its_schema(alice, api, shop, django_assert_max_num_queries):  # fmt: skip
    client = api(alice)
    client.get(URL)
    with django_assert_max_num_queries(4):
        source = client.get(f"{URL}/{shop.pk}").json()["data_source"]
    assert source["connection_config"] == {}
    assert [table["name"] for table in source["schema"]["tables"]] == ["customers", "orders"]  # fmt: skip
    assert len(source["schema"]["tables"][1]["sample_rows"]) == 3


# --- Questions ---


@pytest.mark.parametrize("url", [f"{URL}/query", "/v1/data-sources/query"])
def test_a_source_answers_a_query(alice, api, shop, url):
    body = {"connection_id": shop.pk, "query": "SELECT id, amount FROM orders ORDER BY id LIMIT 2"}  # fmt: skip
    answer = api(alice).post(url, body)
    assert answer.status_code == 200
    told = answer.json()
    told = told["data"] if url.startswith("/v1") else told
    assert told["results"] == [{"id": 1, "amount": 10.5}, {"id": 2, "amount": 20.25}]
    assert told["row_count"] == 2
    assert told["truncated"] is False
    assert told["columns"] == [{"name": "id", "type": "BIGINT"}, {"name": "amount", "type": "DOUBLE"}]  # fmt: skip
    assert isinstance(told["execution_time_ms"], int)


@pytest.mark.parametrize("query", ["DROP TABLE orders", "SELECT * FROM", "", "SELECT 1; SELECT 2", "SELECT * FROM '/etc/passwd'"])  # fmt: skip
def test_what_is_not_one_read_is_a_400(alice, api, shop, query):
    answer = api(alice).post(f"{URL}/query", {"connection_id": shop.pk, "query": query})
    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_REQUEST"
    assert list(answer.json()["details"]) == ["query"]


def test_a_query_may_ask_for_fewer_rows(alice, api, shop):
    body = {"connection_id": shop.pk, "query": "FROM orders", "limit": 1}
    told = api(alice).post(f"{URL}/query", body).json()
    assert (told["row_count"], told["truncated"]) == (1, True)
    body["limit"] = 10_001
    assert api(alice).post(f"{URL}/query", body).status_code == 400


def test_the_connection_is_tested_by_asking(alice, api, shop):
    told = api(alice).post(f"{URL}/{shop.pk}/test-connection").json()
    assert (told["connected"], told["message"]) == (True, "Connection successful")
    assert isinstance(told["latency_ms"], int)
    shop.remove_files()
    told = api(alice).post(f"{URL}/{shop.pk}/test-connection").json()
    assert told["connected"] is False
    assert str(shop.folder.parent) not in told["message"]


# --- Changes ---


@pytest.mark.parametrize("method", ["put", "patch"])
def test_an_update_changes_what_it_names(alice, api, shop, method):
    def change(body):
        answer = getattr(api(alice), method)(f"{URL}/{shop.pk}", body)
        assert answer.status_code == 200, answer.content
        source = answer.json()["data_source"]
        return source["source_name"], source["connection_config"]

    assert change({"source_name": "New", "connection_config": {}}) == ("New", {})
    assert change({"connection_config": {"a": 1, "b": {"c": 2}}}) == ("New", {"a": 1, "b": {"c": 2}})  # fmt: skip
    assert change({"connection_config": {"b": 3}}) == ("New", {"a": 1, "b": 3})
    assert change({"connection_config": {"a": None}}) == ("New", {"b": 3})
    assert change({"id": "ds_x", "status": "gone", "schema": {}}) == ("New", {"b": 3})


@pytest.mark.parametrize(
    "body",
    [
        {"source_nam": "x"},
        {"source_name": ""},
        {"source_name": "x" * 201},
        {"connection_config": []},
        {"connection_config": "x"},
        {"connection_config": {"a": "x" * 20_000}},
        {"company": 1},
    ],
)
def test_a_faulty_update_changes_nothing(alice, api, shop, body):
    answer = api(alice).patch(f"{URL}/{shop.pk}", body)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == list(body)
    shop.refresh_from_db()
    assert (shop.source_name, shop.connection_config) == ("Shop", {})


def test_a_deleted_source_is_gone_with_its_files(alice, api, shop, heard, django_capture_on_commit_callbacks):  # fmt: skip
    folder = shop.folder
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        answer = api(alice).delete(f"{URL}/{shop.pk}")
        assert folder.exists()  # until the row is gone for good
    assert callbacks
    assert answer.json() == {"success": True, "message": "Data source deleted"}
    assert not folder.exists()
    assert not DataTable.objects.for_company(alice.company).exists()
    assert api(alice).get(f"{URL}/{shop.pk}").status_code == 404
    assert [event.type for event in heard] == ["data_source.deleted"]


def test_a_deletion_that_is_undone_keeps_the_files(alice, shop, monkeypatch):
    def explode(_):
        raise RuntimeError("no")

    folder, rows = shop.folder, DataSource.objects.for_company(alice.company)
    monkeypatch.setattr(services, "publish", explode)
    with pytest.raises(RuntimeError):
        services.delete_source(shop)
    assert rows.get().folder == folder
    assert len(list(folder.iterdir())) == 2


# --- Who may ---


def test_another_company_finds_nothing(charlie, api, shop):
    client = api(charlie)
    assert client.get(URL).json()["data_sources"] == []
    for method, url in (("get", f"{URL}/{shop.pk}"), ("put", f"{URL}/{shop.pk}"), ("delete", f"{URL}/{shop.pk}"), ("post", f"{URL}/{shop.pk}/test-connection")):  # fmt: skip
        assert getattr(client, method)(url, {}).status_code == 404
    for identifier in (shop.pk, "ds_nothing", "1", "x" * 64):
        body = {"connection_id": identifier, "query": "SELECT 1"}
        assert client.post(f"{URL}/query", body).status_code == 404


def test_who_may_read_may_ask_and_who_may_write_may_upload(alice, bob, vera, api, shop):
    body = {"connection_id": shop.pk, "query": "SELECT 1 AS one"}
    for client in (api(vera, "read"), api(bob, "read"), api(bob)):
        assert client.post(f"{URL}/query", body).status_code == 200
        assert client.post(f"{URL}/{shop.pk}/test-connection").status_code == 200
    for client in (api(vera), api(bob, "read")):
        assert send(client, ("a.csv", "x\n1\n")).status_code == 403
        assert client.put(f"{URL}/{shop.pk}", {}).status_code == 403
        assert client.delete(f"{URL}/{shop.pk}").status_code == 403
    assert send(api(bob), ("a.csv", "x\n1\n")).status_code == 201
    assert send(api(), ("a.csv", "x\n1\n")).status_code == 401


def test_uploads_of_two_companies_lie_apart(alice, charlie, api, settings):
    mine, theirs = (send(api(person), ("a.csv", "x\n1\n")).json()["data_source"]["id"] for person in (alice, charlie))  # fmt: skip
    media = Path(settings.MEDIA_ROOT)
    assert (media / str(alice.company.pk) / mine).is_dir()
    assert (media / str(charlie.company.pk) / theirs).is_dir()


def test_the_operator_sees_sources_and_deletes_them_with_their_files(alice, shop, client, django_capture_on_commit_callbacks):  # fmt: skip
    alice.user.is_staff = alice.user.is_superuser = True
    alice.user.save()
    client.force_login(alice.user)
    assert b"Shop" in client.get("/admin/datasources/datasource/").content
    shown = client.get(f"/admin/datasources/datasource/{shop.pk}/change/").content
    assert b"customers" in shown
    assert b"Aachen" not in shown
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/admin/datasources/datasource/{shop.pk}/delete/", {"post": "yes"})
    assert not shop.folder.exists()
    assert not DataSource.objects.for_company(alice.company).exists()
