"""Document 001's calls, as they are written there: authentication, account, system."""

from datetime import datetime

import pytest

REGISTRATION = {
    "email": "user@example.com",
    "password": "SecurePassword123!",
    "full_name": "John Doe",
    "company_name": "Example Corp",
}


@pytest.fixture
def partner(api, db):
    """A client that has registered as the document shows it, and its answer."""
    client = api()
    answer = client.post("/api/v1/auth/register", REGISTRATION)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['token']}")
    return client, answer


def shows(body, example):
    """Whether a body has all that the document shows, each with the documented type."""
    for name, value in example.items():
        assert name in body, name
        if isinstance(value, dict):
            shows(body[name], value)
        else:
            assert isinstance(body[name], type(value)), name
    return True


def is_time(text):
    return text.endswith("Z") and datetime.fromisoformat(text)


def test_register(partner):
    _, answer = partner
    assert answer.status_code == 201
    example = {
        "user": {"id": "", "email": "", "full_name": "", "is_verified": False},
        "token": "",
        "refresh_token": "",
    }
    assert shows(answer.json(), example)
    assert answer.json()["user"]["email"] == "user@example.com"
    assert answer.json()["user"]["is_verified"] is False


def test_login(partner, api):
    answer = api().post(
        "/api/v1/auth/login",
        {"email": "user@example.com", "password": "SecurePassword123!"},
    )
    assert answer.status_code == 200
    user = {"id": "", "email": "", "role": "admin", "company_id": 1}
    assert shows(answer.json(), {"user": user, "token": "", "refresh_token": ""})


@pytest.mark.parametrize("path", ["auth/me", "account/profile"])
def test_who_am_i(partner, path):
    client, _ = partner
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200
    user = {"id": "", "email": "", "full_name": "", "role": "admin", "company_id": 1}
    assert shows(answer.json(), {"user": user})


def test_refresh(partner, api):
    _, registered = partner
    answer = api().post(
        "/api/v1/auth/refresh",
        {"refresh_token": registered.json()["refresh_token"]},
    )
    assert answer.status_code == 200
    assert shows(answer.json(), {"token": "", "refresh_token": ""})


def test_logout(partner):
    client, registered = partner
    answer = client.post(
        "/api/v1/auth/logout",
        {"refresh_token": registered.json()["refresh_token"]},
    )
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Logged out successfully"}


def test_api_keys(partner):
    client, _ = partner
    made = client.post(
        "/api/v1/account/api-keys",
        {"name": "Production Integration", "permissions": ["read", "write"]},
    )
    assert made.status_code == 201
    api_key = made.json()["api_key"]
    assert shows(api_key, {"id": "", "name": "", "key": "", "created_at": ""})
    assert is_time(api_key["created_at"])

    listed = client.get("/api/v1/account/api-keys")
    (row,) = listed.json()["api_keys"]
    assert (row["id"], row["name"]) == (api_key["id"], "Production Integration")
    assert "last_used" in row

    gone = client.delete(f"/api/v1/account/api-keys/{api_key['id']}")
    assert gone.status_code == 200
    assert gone.json() == {"success": True, "message": "API key deleted"}


def test_health(api, db):
    answer = api().get("/api/v1/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["database"] == {"connected": True}
    assert body["data"] == {"responsive": True}
    assert is_time(body["timestamp"])


def test_rate_headers(partner):
    _, answer = partner
    for header in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"):
        assert int(answer[header]) >= 0


def test_an_error(api, db):
    answer = api().post("/api/v1/auth/login", {"email": "user@example.com"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"] is True
    assert body["code"] == "INVALID_REQUEST"
    assert body["details"] == {"password": "This field is required."}
    assert body["message"]
