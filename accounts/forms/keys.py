from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

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


class NewKeyForm(PageForm):
    name = forms.CharField(
        max_length=100,
        help_text="What will use it, so that you know it again: “Till in Leeds”, “Nightly import”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    permissions = forms.ChoiceField(
        widget=forms.RadioSelect, choices=(), initial="read,write"
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
    allowed_addresses = forms.CharField(
        label="Allowed addresses",
        required=False,
        max_length=2000,
        help_text="IP addresses or ranges, with commas: 203.0.113.7, 198.51.100.0/24. Empty: from anywhere.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, granted: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["permissions"].choices = [  # type: ignore[attr-defined]  # a ChoiceField
            (value, words)
            for value, words in BUNDLES.items()
            if set(value.split(",")) <= granted
        ]

    def clean_permissions(self) -> list[str]:
        chosen: str = self.cleaned_data["permissions"]
        return chosen.split(",")

    def clean_allowed_addresses(self) -> list[str]:
        return [
            part.strip()
            for part in self.cleaned_data["allowed_addresses"].split(",")
            if part.strip()
        ]

    def clean(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        days = values.pop("expires", "")
        if days:
            values["expires_at"] = timezone.now() + timedelta(days=int(days))
        return values


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
