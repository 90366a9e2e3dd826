"""Their values are checked by the API's serializers; here is how they are asked for."""

import json
import re
from collections import Counter
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from rest_framework.exceptions import ParseError

from accounts.models import Role
from craft.api.parsers import check_storable, read_float, refuse_constant
from craft.forms import Choice, PageForm

DAYS = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
SPAN = re.compile(r"\s*(\d{1,2}:\d{2})\s*(?:-|–|to)\s*(\d{1,2}:\d{2})\s*")
ROLES = [
    (Role.VIEWER, Choice("Viewer", "Sees everything, and changes nothing.")),
    (
        Role.MEMBER,
        Choice("Member", "Also makes and changes agents, workflows and data sources."),
    ),
    (
        Role.ADMIN,
        Choice("Admin", "Also looks after people, API keys, billing and the company."),
    ),
]


class RoleForm(PageForm):
    role = forms.ChoiceField(widget=forms.RadioSelect, choices=ROLES)


class CompanyForm(PageForm):
    name = forms.CharField(max_length=200)
    industry = forms.ChoiceField(required=False)
    website = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "https://example.com"}),
    )
    phone = forms.CharField(
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "placeholder": "+49 30 123456"}),
    )
    address = forms.CharField(required=False, max_length=500)
    country = forms.ChoiceField(required=False)
    time_zone = forms.ChoiceField(label="Time zone")

    def __init__(
        self,
        *args: Any,
        industries: list[str],
        countries: list[str],
        time_zones: list[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "industry", ["", *industries])
        offer(self, "country", ["", *countries])
        self.fields["country"].widget.attrs["data-regions"] = ""
        offer(self, "time_zone", time_zones)


class JsonObjectField(forms.CharField):
    """A JSON object, in a text that says where it is none. Empty is an object that holds nothing."""

    widget = forms.Textarea(
        attrs={"rows": 6, "class": "code", "spellcheck": "false", "autocomplete": "off"}
    )

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value  # as it was typed
        return json.dumps(value, indent=2, ensure_ascii=False) if value else ""

    def clean(self, value: Any) -> dict[str, Any]:
        text = super().clean(value)
        if not text:
            return {}
        try:
            read = json.loads(
                text,
                object_pairs_hook=_pairs,
                parse_constant=refuse_constant,
                parse_float=read_float,
            )
            check_storable(read)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"Not JSON: {error.msg.lower()}, in line {error.lineno}, column {error.colno}."
            ) from None
        except ParseError as error:
            raise ValidationError(str(error.detail)) from None
        except RecursionError:
            raise ValidationError("Nested too deep.") from None
        except ValueError:  # Python reads no number of thousands of digits
            raise ValidationError("A number is too long.") from None
        if not isinstance(read, dict):
            raise ValidationError('Write an object, in braces: {"name": "value"}.')
        return read


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a name stand twice; who writes it twice by hand has lost one."""
    read = dict(pairs)
    if len(read) < len(pairs):
        (name, _), *_rest = Counter(name for name, _ in pairs).most_common(1)
        raise ValidationError(f"“{name}” is there twice.")
    return read


class OutletForm(PageForm):
    name = forms.CharField(max_length=200)
    address = forms.CharField(required=False, max_length=500)
    phone = forms.CharField(
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "placeholder": "+49 30 123456"}),
    )
    time_zone = forms.ChoiceField(label="Time zone")
    variables = JsonObjectField(
        required=False,
        max_length=100_000,
        help_text='What else agents and workflows are to know of it, as JSON: {"manager": "Mia Meyer", "seats": 40}.',
    )

    def __init__(
        self,
        *args: Any,
        time_zones: list[str],
        opening_hours: dict[str, list[dict[str, str]]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "time_zone", time_zones)
        for day in DAYS:
            spans = (opening_hours or {}).get(day, [])
            self.fields[day] = forms.CharField(
                label=day.capitalize(),
                required=False,
                max_length=200,
                initial=", ".join(
                    f"{span['opens']}–{span['closes']}" for span in spans
                ),
                widget=forms.TextInput(
                    attrs={"placeholder": "Closed", "autocomplete": "off"}
                ),
            )

    @property
    def about(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in {*DAYS, "variables"}]

    @property
    def days(self) -> list[forms.BoundField]:
        return [self[day] for day in DAYS]

    def clean(self) -> dict[str, Any]:
        """The week as the API knows it. What a day's spans may be is the serializer's business."""
        values = dict(self.cleaned_data)
        hours = {}
        for day in DAYS:
            text = values.pop(day, "")
            try:
                if spans := read_spans(text):
                    hours[day] = spans
            except ValueError:
                self.add_error(
                    day,
                    ValidationError("Write it like 09:00–12:30, 14:00–18:00."),
                )
        return values | {"opening_hours": hours}


def read_spans(text: str) -> list[dict[str, str]]:
    spans = []
    for part in filter(str.strip, text.split(",")):
        match = SPAN.fullmatch(part)
        if match is None:
            raise ValueError(part)
        opens, closes = (time.zfill(5) for time in match.groups())
        spans.append({"opens": opens, "closes": closes})
    return spans


def offer(form: forms.Form, name: str, values: list[str]) -> None:
    field: Any = form.fields[name]
    field.choices = [(value, value.replace("_", " ") or "–") for value in values]
