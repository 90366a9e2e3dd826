"""Forms of pages: they check shape as serializers do, call one service, and say beside each field what it refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.renderers import DjangoTemplates
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from craft.api.exceptions import flatten
from craft.exceptions import DomainError, InvalidError


class PageRenderer(DjangoTemplates):
    form_template_name = "craft/form.html"
    field_template_name = "craft/field.html"


@dataclass(frozen=True)
class Choice:
    """A choice that says in a sentence what choosing it means."""

    title: str
    text: str

    def __str__(self) -> str:
        return self.title


class PageForm(forms.Form):
    """A form whose fields have the names that the service knows them by."""

    default_renderer = PageRenderer
    use_required_attribute = True

    def submit(
        self,
        service: Callable[..., Any],
        *on: Any,
        shape: type[Serializer[Any]] | None = None,
        **known: Any,
    ) -> bool:
        """Call the service with what was filled in, once the API's own serializer, `shape`, has found nothing wrong with it. The service's answer is
        `outcome`; what it refuses becomes errors of the form."""
        is_valid = self.is_valid()
        values = self.cleaned_data
        try:
            if (
                shape is not None
            ):  # also of the rest, so that all faults are told at once
                checked = shape(data=values, partial=True)
                checked.is_valid(raise_exception=True)
                values = checked.validated_data
            if not is_valid:
                return False
            self.outcome = service(*on, **values, **known)
        except ValidationError as error:
            self.refuse(InvalidError("Please look again.", details=_by_field(error)))
            return False
        except DomainError as error:
            self.refuse(error)
            return False
        return True

    def refuse(self, error: DomainError) -> None:
        """Beside the fields that it names; above them where it names none that is seen."""
        named = {
            name: text
            for name, text in error.details.items()
            if name in self.fields and not self.fields[name].widget.is_hidden
        }
        for name, text in named.items():
            self.add_error(name, str(text))
        if not named:
            self.add_error(
                None,
                " ".join([error.message, *self._unseen(error)])
                if isinstance(error, InvalidError)
                else error.message,
            )

    def _unseen(self, error: DomainError) -> list[str]:
        """What is wrong with values that no field of the form has; of a hidden one, the message says it."""
        return [
            str(text) for name, text in error.details.items() if name not in self.fields
        ]


def _by_field(error: ValidationError) -> dict[str, str]:
    """The first word of a dotted path is the field's name."""
    by_field: dict[str, str] = {}
    for path, sentence in flatten(error.detail).items():
        by_field.setdefault(path.split(".")[0], sentence)
    return by_field


def email_field(**options: Any) -> forms.EmailField:
    return forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(
            attrs={"autocomplete": "username", "spellcheck": "false"}
        ),
        **options,
    )


def code_field(
    label: str = "Code", *, placeholder: str = "", is_numeric: bool = False
) -> forms.CharField:
    """What an authenticator app shows, or what is good in its place. Typed as people like: with spaces, in capitals."""
    return forms.CharField(
        label=label,
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "autocapitalize": "none",
                "inputmode": "numeric" if is_numeric else "text",
                "placeholder": placeholder,
                "spellcheck": "false",
                "class": "code",
            }
        ),
    )


def password_field(
    label: str = "Password",
    *,
    new: bool = False,
    beside: tuple[str, Any] | None = None,
    **options: Any,
) -> forms.CharField:
    """`beside` is a link next to the label: its words and address."""
    kind = "new-password" if new else "current-password"
    field = forms.CharField(
        label=label,
        max_length=128,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": kind}),
        **options,
    )
    if new and not field.help_text:
        field.help_text = "At least 8 characters, and not a common word."
    field.beside = beside  # type: ignore[attr-defined]  # for the template
    return field
