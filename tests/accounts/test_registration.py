"""A new person and their company."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import Company, Membership, User
from billing.models import Subscription

FORM = {
    "email": "user@example.com",
    "password": "SecurePassword123!",
    "full_name": "John Doe",
    "company_name": "Example Corp",
}


@pytest.fixture
def register(api, db):
    client = api()
    return lambda **changes: client.post("/api/v1/auth/register", {**FORM, **changes})


def test_who_registers_is_the_admin_and_owner_of_a_new_company(register):
    answer = register()
    assert answer.status_code == 201
    user = answer.json()["user"]
    assert (user["role"], user["is_owner"]) == ("admin", True)
    assert user["company_name"] == "Example Corp"
    membership = Membership.objects.get()
    assert membership.user_id == user["id"]
    assert membership.company_id == user["company_id"]


def test_a_new_company_is_on_trial(register):
    company_id = register().json()["user"]["company_id"]
    subscription = Subscription.objects.for_company(company_id).get()
    assert (subscription.plan.slug, subscription.status) == (
        "agents-starter",
        "trialing",
    )


def test_the_answer_says_where_the_new_account_is(register, api):
    answer = register()
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['token']}")
    assert client.get(answer["Location"]).json()["user"] == answer.json()["user"]


def test_a_password_is_kept_as_a_hash_only(register):
    register()
    assert FORM["password"] not in User.objects.get().password


@pytest.mark.parametrize(
    "email", ["user@example.com", "USER@example.com", "User@Example.COM"]
)
def test_a_known_address_is_a_conflict_in_any_case(register, email):
    register()
    answer = register(email=email)
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert "email" in answer.json()["details"]
    assert (User.objects.count(), Company.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "password", ["short", "password123", "12345678901", "user@example.com"]
)
def test_a_weak_password_is_refused(register, password):
    answer = register(password=password)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")
    assert set(answer.json()["details"]) == {"password"}
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"),
        ("email", None),
        ("email", ["user@example.com"]),
        ("full_name", ""),
        ("company_name", "x" * 201),
        ("password", {"a": 1}),
        ("passwort", "typo"),
    ],
)
def test_a_field_that_is_wrong_is_named(register, field, value):
    answer = register(**{field: value})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {field}
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_many_who_register_one_address_at_once_one_gets_it(settings):
    def attempt(_):
        try:
            return APIClient().post("/api/v1/auth/register", FORM).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(attempt, range(6)))
    assert statuses == [201] + [409] * 5
    assert (User.objects.count(), Company.objects.count()) == (1, 1)
