"""OpenAPI documents that are true to the wire.

drf-spectacular reads serializers, filters and docstrings. What it can't know is how a base path dresses an answer, and that is not described a second
time here: the very `Dialect` methods that dress answers are handed `Described` schemas in the place of data, and what they return is read back as a
schema (`schema_of`). Which errors a call can answer follows from its method, its path and its level, as in the machinery itself; a viewset's `problems`
adds what only its services know.

`manage.py openapi` writes one document per base path into `openapi/`; `--check` says whether they are still true.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.urls import get_resolver
from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import (
    ResolvedComponent,
    force_instance,
    get_doc,
    get_lib_doc_excludes,
)
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers as drf

from craft.api.envelopes import (
    DATA,
    NAMED,
    Deleted,
    Dialect,
    Page,
    Problem,
    Resource,
    dialect_for,
)
from craft.api.filters import StrictFilterBackend
from craft.api.serializers import ModelSerializer, Serializer, StrictMixin
from craft.api.viewsets import ApiViewSet, CompanyModelViewSet, CompanyViewSet

Schema = dict[str, Any]

DOCUMENTS: dict[str, Dialect] = {"api_v1": NAMED, "v1": DATA}


# --- What dialects return, read back as a schema ---


class Described(dict[str, Any]):
    """A schema that stands where a dialect expects data."""


def schema_of(dressed: Any) -> Schema:
    match dressed:
        case Described():
            return dict(dressed)
        case dict():
            return {
                "type": "object",
                "properties": {key: schema_of(dressed[key]) for key in dressed},
                "required": list(dressed),
                "additionalProperties": False,
            }
        case bool():
            return {"type": "boolean", "const": dressed}
        case _:
            return {"type": "string", "const": str(dressed)}


TEXT = Described(type="string")
NUMBER = Described(type="integer", minimum=0)
REQUEST_ID = Described(
    type="string",
    description="The same as `X-Request-ID`; the operator's log carries it.",
)
DETAILS = Described(
    type="object",
    additionalProperties={"type": "string"},
    description="Each field that is at fault (a dotted path for a nested one), with one sentence.",
)


def page_of(items: Schema) -> Page:
    return Page(
        items=Described(items),
        total=NUMBER,  # type: ignore[arg-type]  # schemas in the place of data, here and below
        limit=NUMBER,  # type: ignore[arg-type]
        offset=NUMBER,  # type: ignore[arg-type]
        page=Described(type=["integer", "null"]),  # type: ignore[arg-type]
        has_more=Described(type="boolean"),  # type: ignore[arg-type]
        next_cursor=Described(  # type: ignore[arg-type]
            type=["string", "null"], description="Null on the last page."
        ),
    )


def problem_of(status: int) -> Problem:
    return Problem(status, TEXT, REQUEST_ID, DETAILS)  # type: ignore[arg-type]


# --- Answers that every route shares ---

PROBLEMS = {
    400: "The request is not valid; `details` names each field.",
    401: "No valid key or token was sent.",
    402: "The company's credits don't cover this.",
    403: "The key, or the role of its owner, does not allow this.",
    404: "There is no such object, or it belongs to another company.",
    409: "The request is at odds with what exists.",
    413: "The body is too large.",
    415: "The body is not JSON, or not what this call takes.",
    422: "Valid JSON that breaks a rule; `details` names each field.",
    429: "Too many requests: wait as long as `Retry-After` says.",
    500: "Something went wrong on our side.",
    502: "A service that this call depends on failed.",
    503: "Something that this call depends on is missing or can't be reached.",
    504: "A service that this call depends on took too long.",
}

HEADERS: dict[str, Schema] = {
    "X-Request-ID": {
        "description": "Names this request in the operator's log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^req_[0-9a-z]{26}$"},
    },
    "X-RateLimit-Limit": {
        "description": "How many calls the window with the least left allows. Where a plan sets no limit, it is what this installation bears.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "How many of them are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "When the whole limit is there again, in Unix seconds.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Location": {
        "description": "The address of what was made.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Retry-After": {
        "description": "How long to wait, in seconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Idempotent-Replayed": {
        "description": "`true` where this is the first answer to this `Idempotency-Key` again: nothing was done.",
        "schema": {"type": "string", "const": "true"},
    },
    "WWW-Authenticate": {
        "description": "How to show who you are.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
}
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="A word of your own for this request, such as a UUID. The same word and body within 24 hours give the first answer again, and nothing is done twice; with another body it is a conflict. Only answers below 400 are kept.",
)
EVERYWHERE = (
    "X-Request-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
BY_STATUS = {
    "201": ("Location",),
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


def headers_for(status: str, method: str = "") -> Schema:
    is_kept = method == "POST" and status < "400"
    replayed = ("Idempotent-Replayed",) if is_kept else ()
    names = (*EVERYWHERE, *BY_STATUS.get(status, ()), *replayed)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# --- One operation ---

SUMMARIES = {
    "list": "List {plural}",
    "create": "Create {one}",
    "retrieve": "Get {one}",
    "update": "Update {one}",
    "partial_update": "Update {one}",
    "destroy": "Delete {one}",
}


NEEDS = {
    "public": "no key",
    "person": "a person who is signed in; no key is enough",
    "owner": "the company's owner, signed in; no key is enough",
}


class ContractSchema(AutoSchema):
    """drf-spectacular's view of a view, dressed as the base path of its address."""

    view: Any  # an ApiViewSet

    @property
    def dialect(self) -> Dialect:
        return dialect_for(self.path)

    # What it is called

    def get_operation_id(self) -> str:
        name = self.view.basename.replace("-", "_")
        return f"{name}_{VERBS.get(self.view.action, self.view.action)}"

    def get_tags(self) -> list[str]:
        first = self.path.removeprefix(self.dialect.prefix).strip("/").split("/")[0]
        return [first.replace("-", " ").capitalize()]

    def get_summary(self) -> str:
        resource = self._resource()
        sentence = SUMMARIES.get(self.view.action)
        if resource is None or sentence is None:
            return self._said().split(". ")[0].strip().rstrip(".")
        noun = in_a_sentence(resource.label)
        article = "an" if noun[0] in "aeiouAEIO" else "a"
        is_regular = resource.plural == f"{resource.name}s"
        plural = f"{noun}s" if is_regular else resource.plural.replace("_", " ")
        return sentence.format(one=f"{article} {noun}", plural=plural)

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        needs = NEEDS.get(self.view.level, f"the permission `{self.view.level}`")
        return f"{self._said()}\n\nNeeds {needs}."

    def _said(self) -> str:
        action = getattr(self.view, self.view.action, None)
        return get_doc(action) or get_doc(type(self.view))

    def get_auth(self) -> list[Schema]:
        if self.view.level == "public":
            return []
        is_keyless = self.view.action in self.view.keyless
        return [{"bearer": []}, {}] if is_keyless else [{"bearer": []}]

    def _resource(self) -> Resource | None:
        if self.view.serializer_class is None:
            return None
        return Resource.of(self.view.get_serializer_class())

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """A resource's own name; any other's with its app's before it, since two apps may each have an `ExecuteSerializer`."""
        name = str(super().get_serializer_name(serializer, direction))
        app = type(serializer).__module__.partition(".")[0]
        is_shared = Resource.of(serializer) is not None or not apps.is_installed(app)
        return name if is_shared else f"{app.capitalize()}{name}"

    # What it takes

    def _is_list_view(self, serializer: Any = None) -> bool:
        if getattr(self.view, "action", None) == "list":
            # An action may be called `list` and answer one object, as the health check does.
            return self.view.paginator is not None or self._resource() is not None
        return super()._is_list_view(serializer)

    def _get_filter_parameters(self) -> list[Schema]:
        """Those of the action's own filter set, which may be about other rows than its viewset."""
        filterset_class = getattr(self.view, "filterset_class", None)
        if filterset_class is None or not self._is_list_view():
            return []
        extension = DjangoFilterExtension(StrictFilterBackend())
        found: list[Schema] = []
        for name, one in filterset_class.base_filters.items():
            found += extension.resolve_filter_field(
                self, filterset_class._meta.model, filterset_class, name, one
            )
        return found

    def _get_paginator(self) -> None:
        """None, since a page is dressed below, with the name of its resource."""

    def _get_pagination_parameters(self) -> list[Schema]:
        if not self._is_list_view() or self.view.paginator is None:
            return []
        return list(self.view.paginator.get_schema_operation_parameters(self.view))

    def get_override_parameters(self) -> list[Any]:
        """What every POST takes; an action's own come with `extend_schema`."""
        return [IDEMPOTENCY_KEY] if self.method == "POST" else []

    def get_request_serializer(self) -> Any:
        serializer: Any = super().get_request_serializer()
        if self.method == "PUT" and hasattr(serializer, "partial"):
            serializer.partial = True  # as in document 001
        return serializer

    def _postprocess_serializer_schema(
        self, schema: Schema, serializer: Any, direction: str
    ) -> Schema:
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "request" and isinstance(serializer, StrictMixin):
            schema["additionalProperties"] = False
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Schema:
        schema: Schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "response" and "properties" in schema:
            fields = serializer.fields
            schema["required"] = sorted(
                name
                for name in schema["properties"]
                if isinstance(serializer, drf.ModelSerializer)  # a row has them all
                or fields[name].required
                or fields[name].read_only
            )
        return schema

    # What it answers

    def _get_response_bodies(self, direction: Any = "response") -> Schema:
        responses: Schema
        if self.view.action == "destroy" or self.view.action in self.view.deletes:
            responses = {"200": self._describe_deletion()}
        else:
            responses = super()._get_response_bodies(direction)
        if self.dialect.flat_creates and self.view.action in self.view.flat:
            responses["200"] = self._describe_flat()
        for code in self._problems():
            responses.setdefault(str(code), self._describe_problem(code))
        for status, response in responses.items():
            if "$ref" not in response:
                response["headers"] = headers_for(status, self.method)
        return dict(sorted(responses.items()))

    def _get_response_for_code(
        self,
        serializer: Any,
        status_code: str,
        media_types: Any = None,
        direction: Any = "response",
    ) -> Schema:
        response: Schema = super()._get_response_for_code(  # type: ignore[no-untyped-call]
            serializer, status_code, media_types, direction
        )
        if isinstance(serializer, OpenApiResponse):
            serializer = serializer.response
        resource = Resource.of(force_instance(serializer))
        media = response.get("content", {}).get("application/json")
        if media is not None:
            media["schema"] = self._dress(resource, media["schema"])
        response["description"] = response["description"] or "Done."
        return response

    def _dress(self, resource: Resource | None, schema: Schema) -> Schema:
        if self._is_list_view() and schema.get("type") == "array":
            return schema_of(self.dialect.many(resource, page_of(schema)))
        if resource is not None:
            return schema_of(self.dialect.one(resource, Described(schema)))
        return schema_of(self.dialect.result(Described(schema)))

    def _describe_flat(self) -> Schema:
        component = self.resolve_serializer(self._get_serializer(), "response")  # type: ignore[no-untyped-call]
        content = {"application/json": {"schema": component.ref}}
        return {"description": "Done; without an envelope.", "content": content}

    def _describe_deletion(self) -> Schema:
        name = self.view.deletes.get(self.view.action, "")
        name = name or str(self.view.queryset.model._meta.verbose_name)
        dressed = self.dialect.deleted(
            Deleted(id=TEXT, label=name[:1].upper() + name[1:])  # type: ignore[arg-type]
        )
        content = {"application/json": {"schema": schema_of(dressed)}}
        return {"description": "Deleted.", "content": content}

    def _describe_problem(self, status: int) -> Schema:
        name = f"{self.dialect.name}_{self.dialect.code_for(status)}".lower()
        content = {
            "application/json": {
                "schema": schema_of(self.dialect.problem(problem_of(status)))
            }
        }
        component = ResolvedComponent(
            name="".join(word.capitalize() for word in name.split("_")),
            type=ResolvedComponent.RESPONSE,
            object=(self.dialect.name, status),
            schema={
                "description": PROBLEMS[status],
                "headers": headers_for(str(status)),
                "content": content,
            },
        )
        self.registry.register_on_missing(component)
        return dict(component.ref)

    def _problems(self) -> set[int]:
        """The errors that follow from the call's method, path and level."""
        problems = {429, 500, 503, *self.view.problems.get(self.view.action, ())}
        if self.view.level != "public":
            problems |= {401, 403}
        if "{" in self.path:
            problems |= {404}
        if self._get_filter_parameters() or self._get_pagination_parameters():
            problems |= {400}
        if self.method == "POST":
            problems |= {400, 409}  # an Idempotency-Key that is none, or another's
        if self.method != "GET" and self._get_request_body():  # type: ignore[no-untyped-call]
            problems |= {400, 413, 415, self.dialect.invalid_status}
        return problems


VERBS = {"retrieve": "get", "partial_update": "patch", "destroy": "delete"}


def in_a_sentence(label: str) -> str:
    """`Agent` as `agent`, but `API key` as it is."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def docs_to_ignore() -> list[type]:
    """Classes whose docstrings are for those who build on them, not for the customer."""
    ours = [StrictMixin, ApiViewSet, CompanyViewSet, CompanyModelViewSet]
    return [*get_lib_doc_excludes(), *ours, Serializer, ModelSerializer]


# --- The whole document ---

ABOUT = """\
Build agents and workflows, connect data, run them and see what they did.

Send your key as `Authorization: Bearer YOUR_API_KEY`. Every answer carries `X-Request-ID`, `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset`. An unknown field or parameter is an error that names it. Times are UTC.
"""
ABOUT_NAMED = """
At this base path an object is named, `{"agent": {…}}`; a list is `{"agents": […], "total": 42, "limit": 20, "offset": 0, "has_more": true}`, paged by
`limit` and `offset`; an error is `{"error": true, "message": …, "code": …, "details": {…}}`. The same resources are served at `/v1` in another dress.
"""
ABOUT_DATA = """
At this base path an answer is `{"success": true, "data": …}`; a list has a `meta` beside it and is paged by `page` and `limit`, or by `cursor` and `limit`;
an error is `{"success": false, "error": {"code": …, "message": …, "details": {…}, "request_id": …}}`. The same resources are served at `/api/v1` in
another dress.

Everything below `/v1/workflows` is served at `/api/workflows` too, in the same words.
"""


def build_document(name: str) -> Schema:
    """The OpenAPI 3.1 document of one base path."""
    dialect = DOCUMENTS[name]
    base = dialect.prefix.strip("/") + "/"
    patterns = [
        pattern
        for pattern in get_resolver().url_patterns
        if str(pattern.pattern) == base
    ]
    document: Schema = SchemaGenerator(patterns=patterns).get_schema(public=True)
    about = ABOUT_NAMED if dialect is NAMED else ABOUT_DATA
    document["info"]["title"] = f"Craft API at {dialect.prefix}"
    document["info"]["description"] = ABOUT + about
    document["servers"] = [{"url": "/", "description": "This installation"}]
    document["tags"] = [{"name": tag} for tag in tags_of(document)]
    components = document["components"]
    components["headers"] = HEADERS
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, or the `token` of a login.",
        }
    }
    return {key: tidied(document[key]) for key in document}


def complaints() -> list[str]:
    """What drf-spectacular had to guess in the document that was built last."""
    return [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]


def tags_of(document: Schema) -> list[str]:
    used = {
        tag
        for path in document["paths"].values()
        for operation in path.values()
        for tag in operation["tags"]
    }
    return sorted(used)


def tidied(node: Any) -> Any:
    """Without drf-spectacular's notes to its own hooks (`x-spec-…`), and without the choice between anything and null, of which null would be both."""
    if isinstance(node, list):
        return [tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    needless = {key for key in node if str(key).startswith("x-spec-")}
    if {} in node.get("oneOf", ()):
        needless.add("oneOf")
    return {key: tidied(node[key]) for key in node if key not in needless}
