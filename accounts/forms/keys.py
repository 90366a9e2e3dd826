from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from accounts.models import ApiKey, KeyMode
from craft.forms import Choice, PageForm

BUNDLES = {
    "read": Choice("Read", "Look at everything the company has, and change nothing."),
    "read,write": Choice(
        "Read and write",
        "Also make and change agents, workflows and data sources, and run them.",
    ),
    "read,write,admin": Choice(
        "Admin",
        "Also keys, members, billing and webhooks. Give it to programs that you would give your password to.",
    ),
}


MODES = [
    (
        KeyMode.LIVE,
        Choice("Live", "Works on your company’s records. What it runs is billed."),
    ),
    (
        KeyMode.TEST,
        Choice(
            "Test",
            "Works in the sandbox, on copies. Nothing is billed, and nothing is sent.",
        ),
    ),
]


class KeyBoundsForm(PageForm):
    """What a key may do, and from where."""

    name = forms.CharField(
        max_length=100,
        help_text="What will use it, so that you know it again: “Till in Leeds”, “Nightly import”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    permissions = forms.ChoiceField(widget=forms.RadioSelect, choices=())
    allowed_addresses = forms.CharField(
        label="Allowed addresses",
        required=False,
        max_length=6000,
        help_text="IP addresses or ranges, with commas: 203.0.113.7, 198.51.100.0/24. Empty: from anywhere.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def offer_permissions(self, choices: dict[str, Choice]) -> None:
        field: Any = self.fields["permissions"]
        field.choices = list(choices.items())

    def clean_permissions(self) -> list[str]:
        chosen: str = self.cleaned_data["permissions"]
        return chosen.split(",")

    def clean_allowed_addresses(self) -> list[str]:
        return [
            part.strip()
            for part in self.cleaned_data["allowed_addresses"].split(",")
            if part.strip()
        ]


class NewKeyForm(KeyBoundsForm):
    mode = forms.ChoiceField(
        label="Works on", widget=forms.RadioSelect, choices=MODES, initial=KeyMode.LIVE
    )
    expires = forms.ChoiceField(
        choices=[
            ("", "Never"),
            ("7", "In 7 days"),
            ("30", "In 30 days"),
            ("90", "In 90 days"),
            ("365", "In a year"),
        ],
        required=False,
    )
    field_order = ["name", "mode", "permissions", "expires", "allowed_addresses"]

    def __init__(self, *args: Any, granted: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer_permissions(within(granted))
        self.fields["permissions"].initial = "read,write"

    def clean(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        days = values.pop("expires", "")
        if days:
            values["expires_at"] = timezone.now() + timedelta(days=int(days))
        return values


class KeyForm(KeyBoundsForm):
    """Says to the service only what was changed: the rest of the key stays as it is, whatever the API gave it."""

    expires_at = forms.DateTimeField(
        label="Expires (UTC)",
        required=False,
        help_text="Empty: never.",
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"
        ),
    )
    field_order = ["name", "permissions", "expires_at", "allowed_addresses"]

    def __init__(
        self, *args: Any, api_key: ApiKey, granted: frozenset[str], **kwargs: Any
    ) -> None:
        own = ",".join(api_key.permissions)
        expires_at = api_key.expires_at
        kwargs["initial"] = {
            "name": api_key.name,
            "permissions": own,
            "expires_at": expires_at and expires_at.replace(second=0, microsecond=0),
            "allowed_addresses": ", ".join(api_key.allowed_addresses),
        }
        super().__init__(*args, **kwargs)
        as_it_is = Choice("As it is", f"Only {' and '.join(api_key.permissions)}.")
        self.offer_permissions(
            {own: as_it_is} | within(granted) if own not in BUNDLES else within(granted)
        )

    def clean(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if name in self.changed_data
        }


def within(granted: frozenset[str]) -> dict[str, Choice]:
    return {
        value: words
        for value, words in BUNDLES.items()
        if set(value.split(",")) <= granted
    }


class RotationForm(PageForm):
    overlap_seconds = forms.ChoiceField(
        label="The old secret works for",
        choices=[
            ("0", "not a moment longer"),
            ("3600", "another hour"),
            ("86400", "another day"),
            ("604800", "another week"),
        ],
        initial="86400",
        help_text="So that nothing stops while you put the new one in its place.",
    )
