from typing import Any

from django import forms

from craft.forms import PageForm


class AnswerForm(PageForm):
    """What a question asks, to be filled in. The names of its fields are its builder's, and so begin with `field_` here."""

    comment = forms.CharField(
        required=False,
        max_length=5_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, asked: list[dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rejects = self.data.get("decision") == "reject"
        own = {f"field_{each['name']}": _field(each) for each in asked}
        for field in own.values():  # who rejects need not fill anything in
            field.required = field.required and not rejects
        self.fields = {**own, **self.fields}

    @property
    def data_given(self) -> dict[str, Any]:
        """By the names that the builder gave."""
        return {
            name.removeprefix("field_"): _plain(value)
            for name, value in self.cleaned_data.items()
            if name.startswith("field_") and value not in (None, "")
        }


def _field(asked: dict[str, Any]) -> forms.Field:
    is_tick = asked.get("type") == "boolean"
    known = {
        "label": asked.get("label") or asked["name"],
        "required": bool(asked.get("required")) and not is_tick,
    }
    match asked.get("type", "text"):
        case "textarea":
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 4}), **known)
        case "number":
            return forms.FloatField(**known)
        case "boolean":
            return forms.BooleanField(**known)
        case "date":
            return forms.DateField(
                widget=forms.DateInput(attrs={"type": "date"}), **known
            )
        case "choice":
            options = [("", "Choose …"), *((each, each) for each in asked["options"])]
            return forms.ChoiceField(choices=options, **known)
    return forms.CharField(**known)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
