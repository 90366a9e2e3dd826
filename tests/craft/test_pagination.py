"""Pages at both base paths, seen through the list of keys."""

import pytest

from tests.factories import make_key

NAMED = "/api/v1/account/api-keys"
DATA = "/v1/account/api-keys"


@pytest.fixture
def client(api, alice):
    """Alice's client, and 25 keys with the one it uses."""
    made = api(alice)
    for _ in range(24):
        make_key(alice)
    return made


def ids(rows):
    return [row["id"] for row in rows]


def test_a_list_is_paged_by_offset(client):
    first = client.get(NAMED).json()
    assert (first["total"], first["limit"], first["offset"]) == (25, 20, 0)
    assert first["has_more"] is True
    rest = client.get(NAMED, {"offset": 20}).json()
    assert (len(rest["api_keys"]), rest["has_more"]) == (5, False)
    together = ids(first["api_keys"] + rest["api_keys"])
    assert together == sorted(set(together), reverse=True)


def test_a_list_is_paged_by_number(client):
    pages = [
        client.get(DATA, {"page": number, "limit": 10}).json() for number in (1, 2, 3)
    ]
    assert [len(page["data"]) for page in pages] == [10, 10, 5]
    assert [page["meta"]["has_more"] for page in pages] == [True, True, False]
    assert [page["meta"]["page"] for page in pages] == [1, 2, 3]
    assert len({id for page in pages for id in ids(page["data"])}) == 25


def test_a_page_beyond_the_end_is_empty(client):
    answer = client.get(DATA, {"page": 9}).json()
    assert (answer["data"], answer["meta"]["has_more"]) == ([], False)


def test_a_walk_by_cursor_neither_misses_nor_repeats_a_row(client, alice):
    before = set(ids(client.get(DATA, {"limit": 100}).json()["data"]))
    seen, cursor = [], None
    while True:
        asked = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = client.get(DATA, asked).json()
        seen += ids(page["data"])
        make_key(alice)  # the list grows while it is walked
        assert page["meta"]["cursor"] == page["meta"]["next_cursor"]
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 25
    assert set(seen) == before


def test_a_cursors_page_has_no_number(client):
    cursor = client.get(DATA, {"limit": 4}).json()["meta"]["next_cursor"]
    meta = client.get(DATA, {"cursor": cursor, "limit": 4}).json()["meta"]
    assert (meta["page"], meta["total"], meta["limit"]) == (None, 25, 4)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.5",
        "limit=ten",
        "limit=",
        "limit=%D9%A1",  # a digit, but not one of ours
        "limit=99999999999999999999",
        "page=0",
        "page=x",
        "page=99999999",
        "cursor=made-up",
        "cursor=",
        "cursor=%00",
        "page=1&cursor=x",
        "offset=1",
        "nonsense=1",
    ],
)
def test_bad_paging_is_refused_and_named(client, query):
    answer = client.get(f"{DATA}?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    assert set(error["details"]) & {part.split("=")[0] for part in query.split("&")}


@pytest.mark.parametrize(
    "query", ["offset=-1", "offset=x", "offset=1000001", "limit=0", "page=1"]
)
def test_bad_offsets_are_refused_and_named(client, query):
    answer = client.get(f"{NAMED}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")
    assert query.split("=")[0] in answer.json()["details"]


def test_a_cursor_of_another_installation_is_refused(client, settings):
    cursor = client.get(DATA, {"limit": 4}).json()["meta"]["next_cursor"]
    forged = cursor[:-1] + ("a" if cursor[-1] != "a" else "b")
    assert client.get(DATA, {"cursor": forged}).status_code == 400
