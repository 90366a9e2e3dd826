"""What answers tell a browser, and what Django's own check says of a production environment."""

import os
import subprocess
import sys

import pytest
from django.test import Client

from craft.security import POLICIES

PRODUCTION = {
    "CRAFT_PUBLIC_URL": "https://craft.example.com",
    "CRAFT_BEHIND_PROXY": "true",
    "CRAFT_SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "DATABASE_URL": "postgres://craft:secret@db.example.com:5432/craft",
    "REDIS_URL": "redis://redis.example.com:6379/0",
}


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/login", "/"),
        ("/nowhere", "/"),
        ("/admin/login/", "/admin/"),
        ("/docs/", "/docs/"),
        ("/api/v1/health", "/api/"),
        ("/v1/auth/me", "/v1/"),
    ],
)
def test_every_answer_names_its_policy(db, client, path, prefix):
    answer = client.get(path)
    assert answer["Content-Security-Policy"] == POLICIES[prefix]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_no_policy_lets_in_another_server_or_an_inline_script():
    for policy in POLICIES.values():
        assert "http" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        scripts = [part for part in policy.split("; ") if part.startswith("script-src")]
        assert not any("unsafe-inline" in part for part in scripts)


def test_an_address_with_a_secret_is_told_to_nobody(db, client):
    assert client.get("/setup?token=x")["Referrer-Policy"] == "strict-origin"


def test_pages_are_not_kept(db, client):
    assert client.get("/login")["Cache-Control"] == "private, no-store"


def test_any_origin_may_ask_the_api_what_it_allows(db, client):
    answer = client.options(
        "/v1/workflows",
        headers={
            "origin": "https://shop.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, idempotency-key",
        },
    )
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer["Access-Control-Allow-Methods"]
    assert "idempotency-key" in answer["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
    assert answer["X-Request-ID"].startswith("req_")


def test_an_answer_shows_its_headers_to_other_origins(db, client):
    answer = client.get("/api/v1/health", headers={"origin": "https://shop.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"
    for name in ("X-Request-ID", "X-RateLimit-Remaining", "Retry-After"):
        assert name in answer["Access-Control-Expose-Headers"]


def test_origins_can_be_named(db, client, settings):
    settings.CORS_ALLOW_ALL_ORIGINS = False
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    for origin, expected in (
        ("https://shop.example", "https://shop.example"),
        ("https://evil.example", None),
    ):
        answer = client.get("/api/v1/health", headers={"origin": origin})
        assert answer.get("Access-Control-Allow-Origin") == expected


@pytest.mark.parametrize("path", ["/login", "/admin/login/", "/docs/"])
def test_pages_are_for_their_own_origin_only(db, client, path):
    answer = client.get(path, headers={"origin": "https://shop.example"})
    assert "Access-Control-Allow-Origin" not in answer


def test_a_form_without_its_token_is_refused_in_words(db):
    answer = Client(enforce_csrf_checks=True).post("/login", {"email": "a@b.example"})
    assert answer.status_code == 403
    assert "load it anew" in answer.content.decode()


def in_production(code: str, tmp_path) -> subprocess.CompletedProcess[str]:
    env = {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}
    }
    env |= {"DJANGO_SETTINGS_MODULE": "craft.settings", "CRAFT_VAR_DIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env | PRODUCTION,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_production_passes_the_deployment_check_and_binds_its_cookies(tmp_path):
    done = in_production(
        """
import django; django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("check", "--deploy", "--fail-level", "WARNING")
for name in ("SESSION", "CSRF"):
    assert getattr(settings, f"{name}_COOKIE_NAME").startswith("__Host-")
    assert getattr(settings, f"{name}_COOKIE_SECURE") and getattr(settings, f"{name}_COOKIE_HTTPONLY")
    assert getattr(settings, f"{name}_COOKIE_SAMESITE") == "Lax"
from django.test import RequestFactory
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
def ask(path, **extra):
    return SecurityMiddleware(lambda request: HttpResponse("ok"))(RequestFactory().get(path, **extra))
assert ask("/login", HTTP_HOST="craft.example.com").status_code == 301
assert ask("/healthz").status_code == 200
proxied = ask("/login", HTTP_HOST="craft.example.com", HTTP_X_FORWARDED_PROTO="https")
assert proxied["Strict-Transport-Security"] == "max-age=31536000"
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "0 silenced" not in done.stderr  # the two that craft/settings.py names
