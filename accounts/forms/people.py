from typing import Any

from django import forms

from accounts.forms.companies import ROLES, offer
from accounts.models import Role
from craft.forms import PageForm, code_field, email_field, password_field


class ProfileForm(PageForm):
    full_name = forms.CharField(
        label="Name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    phone = forms.CharField(
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}),
    )
    time_zone = forms.ChoiceField(label="Time zone")

    def __init__(self, *args: Any, time_zones: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "time_zone", time_zones)


class InvitationForm(PageForm):
    email = email_field()
    role = forms.ChoiceField(
        widget=forms.RadioSelect, choices=ROLES, initial=Role.MEMBER
    )


class TokenForm(PageForm):
    """Carries what the link in a mail brought."""

    token = forms.CharField(max_length=512, widget=forms.HiddenInput())


class NewcomerForm(TokenForm):
    full_name = forms.CharField(
        label="Your name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = password_field(new=True)


class KnownForm(TokenForm):
    password = password_field(help_text="That of your account with this address.")


class AddressForm(PageForm):
    email = email_field()


class NewPasswordForm(TokenForm):
    password = password_field("New password", new=True)


class PasswordChangeForm(PageForm):
    current_password = password_field("Current password")
    new_password = password_field("New password", new=True)


class EmailChangeForm(PageForm):
    new_email = email_field()
    password = password_field()


class OwnPasswordForm(PageForm):
    password = password_field()


class PasswordAndCodeForm(PageForm):
    password = password_field()
    code = code_field("Code, or a recovery code")
