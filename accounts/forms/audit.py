from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms

from accounts.models import ApiKey, Company
from craft.events import event_types, spoken
from craft.forms import PageForm

OFFERED = 500


class AuditFilterForm(PageForm):
    """The API's filters, with choices in place of ids, and days in place of moments."""

    actor = forms.ChoiceField(label="Who", required=False)
    event = forms.ChoiceField(label="What", required=False)
    resource_id = forms.CharField(
        label="About",
        required=False,
        max_length=64,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "An id: agent_…",
            }
        ),
    )

    def __init__(self, *args: Any, company: Company, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The first is no name in Python.
        self.fields |= {"from": _day("From (UTC)"), "to": _day("To (UTC)")}
        self.order_fields(["actor", "event", "from", "to", "resource_id"])
        self.keys = dict(
            ApiKey.objects.for_company(company)
            .order_by("name", "pk")
            .values_list("pk", "name")[:OFFERED]
        )
        people = company.memberships.select_related("user")
        people = people.order_by("user__full_name", "pk")[:OFFERED]
        self._offer(
            "actor",
            ("", "Anyone"),
            ("People", [(one.user_id, one.user.get_full_name()) for one in people]),
            ("API keys", list(self.keys.items())),
        )
        kinds = [(kind, spoken(kind)) for kind in event_types()]
        self._offer("event", ("", "Anything"), *kinds)

    def _offer(self, name: str, *choices: Any) -> None:
        field: Any = self.fields[name]
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        first, last = values.get("from"), values.get("to")
        if first and last and last < first:
            self.add_error("to", "Before the first day.")
        return values

    @property
    def given(self) -> dict[str, str]:
        """What was asked for, to be asked for again by the page's links."""
        return {name: value for name in self.fields if (value := self.data.get(name))}

    @property
    def query(self) -> dict[str, Any]:
        """As the API's filters want it. A day lasts until the next one."""
        values = dict(self.cleaned_data)
        first, last = values.pop("from"), values.pop("to")
        if first:
            values["from"] = _midnight(first)
        if last and last < date.max:
            values["to"] = _midnight(last + timedelta(days=1))
        return values


def _day(label: str) -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, required=False, widget=widget)


def _midnight(day: date) -> str:
    return datetime.combine(day, time.min, UTC).isoformat()
