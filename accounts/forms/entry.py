from typing import Any

from django import forms
from django.urls import reverse_lazy

from craft.forms import PageForm, code_field, email_field, password_field


class SignInForm(PageForm):
    email = email_field()
    password = password_field(beside=("Forgot it?", reverse_lazy("forgot-password")))


class CodeForm(PageForm):
    code = code_field(placeholder="000000", is_numeric=True)


class RecoveryForm(PageForm):
    code = code_field("Recovery code", placeholder="xxxxx-xxxxx")


class SignUpForm(PageForm):
    full_name = forms.CharField(
        label="Your name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    company_name = forms.CharField(
        label="Company",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    email = email_field()
    password = password_field(new=True)


class FirstOperatorForm(SignUpForm):
    """Carries the token that the start printed."""

    token = forms.CharField(
        label="Set-up token",
        max_length=200,
        help_text="Craft printed it when it started.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_order = ["token"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.initial.get("token"):  # it came with the link: nothing to fill in
            self.fields["token"].widget = forms.HiddenInput()
