from typing import Any

from django import forms

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
