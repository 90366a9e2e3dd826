"""Companies are kept apart by construction: a query that forgot whose rows it wants does not run."""

import ast
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Subquery
from django.urls import get_resolver
from rest_framework import serializers

from accounts.models import ApiKey, Company, Membership
from craft.api.serializers import CompanyRelatedField, ModelSerializer
from craft.models import CompanyModel, GuardedManager, GuardedQuery, UnscopedQueryError
from tests.factories import make_key

OURS = [
    "accounts",
    "billing",
    "integrations",
    "datasources",
    "agents",
    "workflows",
    "compliance",
    "deployments",
]

UNSCOPED = {
    "accounts.services.audit": "the audit log is sealed for all companies",
    "accounts.privacy": "a person's rows are theirs, in whichever company",
    "accounts.services.privacy": "a company goes with its sandbox",
    "craft.privacy": "a person's rows are theirs, in whichever company",
    "accounts.services.invitations": "an invitation is found by its token, before it is known whose it is",
    "accounts.services.keys": "a key is found before it is known whose it is",
    "billing.admin": "the operator's console",
    "billing.services": "a plan is set by the operator or a trial, for the company that it names",
    "craft.admin": "the operator's console",
    "craft.copies": "a company's records are copied to its sandbox, each model's by its own way to the company",
    "craft.leases": "workers serve all companies",
    "craft.models": "where it is defined",
    "workflows.admin": "the operator's console",
    "workflows.engine.arrivals": "workers serve all companies",
    "workflows.engine.counts": "workers serve all companies",
    "workflows.engine.lines": "a line is a workflow's, by its id",
    "workflows.engine.journal": "workers serve all companies",
    "workflows.engine.sequels": "workers serve all companies",
    "workflows.engine.slices": "workers serve all companies",
    "workflows.services": "a workflow or execution locks its own row, by its own id",
}
"""Who may go round the guard, and why. A module's name covers what is below it."""

HOLD_NO_SCOPE = {
    Company: "it is the company, and says whose sandbox it is",
    Membership: "it is what says whose company somebody belongs to",
}
"""Models with a company that are not guarded, and why."""


# --- The guard ---

ESCAPES = {
    "iterate": list,
    "iterator": lambda rows: list(rows.iterator()),
    "get": lambda rows: rows.get(pk="key_1"),
    "first": lambda rows: rows.first(),
    "last": lambda rows: rows.last(),
    "latest": lambda rows: rows.latest("created_at"),
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "contains": lambda rows: rows.contains(ApiKey(pk="key_1")),
    "index": lambda rows: rows.order_by("pk")[0],
    "slice": lambda rows: list(rows.order_by("pk")[:5]),
    "values": lambda rows: list(rows.values("name")),
    "values_list": lambda rows: list(rows.values_list("name", flat=True)),
    "in_bulk": lambda rows: rows.in_bulk(["key_1"]),
    "aggregate": lambda rows: rows.aggregate(number=Count("pk")),
    "aggregate over distinct": lambda rows: rows.distinct().aggregate(
        number=Count("pk")
    ),
    "annotate": lambda rows: list(rows.annotate(number=Count("membership"))),
    "dates": lambda rows: list(rows.datetimes("created_at", "day")),
    "explain": lambda rows: rows.explain(),
    "update": lambda rows: rows.update(name="mine"),
    "delete": lambda rows: rows.delete(),
    "bulk_update": lambda rows: rows.bulk_update(
        [ApiKey(pk="key_1", name="mine")], ["name"]
    ),
    "get_or_create": lambda rows: rows.get_or_create(name="mine"),
    "update_or_create": lambda rows: rows.update_or_create(name="mine"),
    "union": lambda rows: list(rows.union(rows.filter(name="a"))),
    "raw": lambda rows: list(rows.raw("SELECT * FROM accounts_apikey")),
    "in a subquery": lambda rows: list(
        Membership.objects.filter(pk__in=rows.values("membership"))
    ),
    "in Exists": lambda rows: list(
        Membership.objects.filter(Exists(rows.filter(membership=OuterRef("pk"))))
    ),
    "in Subquery": lambda rows: list(
        Membership.objects.annotate(key=Subquery(rows.values("name")[:1]))
    ),
    "in another's update": lambda rows: Membership.objects.filter(
        pk__in=rows.values("membership")
    ).update(role="admin"),
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_query_without_a_company_does_not_run(alice, escape):
    make_key(alice)
    for rows in (ApiKey.objects.all(), ApiKey.objects.filter(name="mine")):
        with pytest.raises(UnscopedQueryError), transaction.atomic():
            escape(rows)
    assert ApiKey.unscoped.exclude(name="mine").count() == 1


WAYS = {
    name: escape
    for name, escape in ESCAPES.items()
    if name
    not in {"get", "latest", "index", "raw", "get_or_create", "update_or_create"}
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_query_with_a_company_runs_and_touches_its_rows_only(alice, charlie, way):
    make_key(charlie)
    before = list(ApiKey.unscoped.values())
    way(ApiKey.objects.for_company(alice.company))
    assert list(ApiKey.unscoped.values()) == before


def test_a_companys_rows_are_its_own(alice, charlie):
    make_key(alice)
    make_key(charlie)
    for person in (alice, charlie):
        (key,) = ApiKey.objects.for_company(person.company)
        assert key.company_id == person.company.pk


def test_another_company_can_not_be_added_to_a_query(alice, charlie):
    mine = ApiKey.objects.for_company(alice.company)
    theirs = ApiKey.objects.for_company(charlie.company)
    for others in (theirs, ApiKey.objects.all(), ApiKey.unscoped.all()):
        with pytest.raises(UnscopedQueryError):
            list(mine | others)
        with pytest.raises(UnscopedQueryError):
            list(mine ^ others)
    make_key(alice)
    assert len(mine | mine.filter(name="x")) == 1
    assert len(mine & ApiKey.objects.all()) == 1


def test_a_scope_can_not_be_changed(alice, charlie):
    make_key(alice)
    make_key(charlie)
    rows = ApiKey.objects.for_company(alice.company).for_company(charlie.company)
    assert list(rows) == []


def test_nothing_is_asked_for_no_rows(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert list(ApiKey.objects.none()) == []


# --- Every model ---


def models():
    return [model for app in OURS for model in apps.get_app_config(app).get_models()]


def test_every_model_of_a_company_is_guarded():
    for model in models():
        of_company = any(
            field.is_relation and field.related_model is Company
            for field in model._meta.concrete_fields
        )
        if not of_company or model in HOLD_NO_SCOPE:
            continue
        assert issubclass(model, CompanyModel), f"{model.__name__}: use CompanyModel"
        assert isinstance(model.objects, GuardedManager), model.__name__
        assert isinstance(model.objects.all().query, GuardedQuery), model.__name__
        assert model._default_manager.name == "unscoped", (
            f"{model.__name__}: its Meta must inherit CompanyModel.Meta"
        )


def test_a_company_can_not_be_set_by_a_form():
    for model in models():
        if issubclass(model, CompanyModel):
            assert model._meta.get_field("company").editable is False, model.__name__


# --- Every module ---


def modules():
    for app in ["craft", *OURS]:
        for path in sorted(Path(settings.BASE_DIR, app).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            parts = path.relative_to(settings.BASE_DIR).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


def goes_round(path):
    """The lines of a file that reach for all companies' rows."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in {
            "unscoped",
            "_default_manager",
            "_base_manager",
        }:
            yield node.lineno
        if isinstance(node, ast.Constant) and node.value == "unscoped":
            yield node.lineno  # getattr(model, "unscoped")


def is_allowed(module):
    return any(module == name or module.startswith(f"{name}.") for name in UNSCOPED)


def test_only_listed_modules_go_round_the_guard():
    found = [
        f"{module}:{line}"
        for module, path in modules()
        if not is_allowed(module)
        for line in goes_round(path)
    ]
    assert not found, (
        f"These reach all companies' rows: {', '.join(found)}. Say .objects.for_company(…), or list the module in UNSCOPED with the reason."
    )


def test_no_module_is_listed_in_vain():
    using = {module for module, path in modules() if any(goes_round(path))}
    idle = [
        name
        for name in UNSCOPED
        if name != "craft.models"
        and not any(module == name or module.startswith(f"{name}.") for module in using)
    ]
    assert not idle, f"Take these off the list: {', '.join(idle)}."


# --- Every serializer ---


class KeySerializer(ModelSerializer):
    class Meta:
        model = ApiKey
        fields = ["membership"]


def test_a_serializer_does_not_look_an_id_up_among_all_companies(alice):
    class WritableSerializer(ModelSerializer):
        membership = serializers.PrimaryKeyRelatedField(
            queryset=Membership.objects.all()
        )

        class Meta(KeySerializer.Meta):
            pass

    assert KeySerializer().fields["membership"].read_only
    assert not WritableSerializer().fields["membership"].read_only
    assert list(unscoped_fields(WritableSerializer())) == ["membership"]


def test_a_related_field_takes_the_guarded_manager_only(alice):
    field = CompanyRelatedField(queryset=ApiKey.unscoped.all())
    with pytest.raises(TypeError, match="guarded"):
        field.get_queryset()


def test_anothers_id_is_as_unknown_as_one_that_never_was(alice, charlie, rf):
    make_key(alice)
    make_key(charlie)

    class Form(serializers.Serializer):
        key = CompanyRelatedField(queryset=ApiKey.objects.all())

    request = rf.get("/")
    request.company = alice.company

    def fault(key):
        form = Form(data={"key": key}, context={"request": request})
        return None if form.is_valid() else str(form.errors["key"][0])

    mine = ApiKey.objects.for_company(alice.company).get().pk
    theirs = ApiKey.objects.for_company(charlie.company).get().pk
    assert fault(mine) is None
    assert fault(theirs).replace(theirs, "") == fault("key_none").replace(
        "key_none", ""
    )
    for odd in (1, None, ["key"], {"a": 1}, "key\0"):
        assert fault(odd)


def views():
    seen = {}
    for pattern in get_resolver().url_patterns:
        for one in getattr(pattern, "url_patterns", []):
            if hasattr(one.callback, "cls"):
                seen[one.callback.cls] = one.callback
    return seen


def unscoped_fields(serializer):
    for name, field in serializer.fields.items():
        inner = getattr(field, "child_relation", getattr(field, "child", field))
        if isinstance(inner, serializers.BaseSerializer) and hasattr(inner, "fields"):
            yield from unscoped_fields(inner)
        elif (
            isinstance(inner, serializers.RelatedField)
            and not field.read_only
            and not isinstance(inner, CompanyRelatedField)
        ):
            yield name


def every_subclass(cls):
    for one in cls.__subclasses__():
        yield one
        yield from every_subclass(one)


def test_no_serializer_of_ours_looks_an_id_up_among_all_companies():
    assert views()  # importing the routes imports every serializer
    ours = [
        cls
        for cls in every_subclass(serializers.Serializer)
        if cls.__module__.split(".")[0] in OURS and hasattr(cls, "Meta")
    ]
    assert ours
    for cls in ours:
        if issubclass(cls, serializers.ModelSerializer) and not hasattr(
            cls.Meta, "model"
        ):
            continue
        assert not list(unscoped_fields(cls())), cls.__name__
