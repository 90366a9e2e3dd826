from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import User
from accounts.services import sign_in, two_factor
from craft.exceptions import DomainError


class ConsoleSignInForm(AuthenticationForm):
    """The console's door: the password, and then, where two-factor sign-in is on, the code."""

    def __init__(
        self, request: HttpRequest | None = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, *args, **kwargs)
        self.half_way: User | None = None
        if request is not None and "code" in self.data:
            self.half_way = sign_in.who_is_half_way(request.session)
        if self.half_way:
            self._ask_for_code()

    @property
    def asks_for_code(self) -> bool:
        return "code" in self.fields

    def clean(self) -> dict[str, Any]:
        if self.half_way:
            return self._check_code(self.half_way)
        values: dict[str, Any] = super().clean()
        user = self.get_user()
        if user is not None and two_factor.is_enabled(user):
            sign_in.go_half_way(self.request.session, user)
            self._ask_for_code()
            raise ValidationError("The code is still to come.", code="half_way")
        return values

    def _ask_for_code(self) -> None:
        widget = UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": ""}
        )
        code = forms.CharField(label="Code", max_length=40, widget=widget)
        self.fields = {"code": code}

    def _check_code(self, user: User) -> dict[str, Any]:
        self.confirm_login_allowed(user)
        values: dict[str, Any] = self.cleaned_data
        if code := values.get("code"):
            try:
                two_factor.check_code(user, code)
            except DomainError as error:
                self.add_error("code", error.message)
            else:
                self.request.session.pop(sign_in.HALF_WAY, None)
                self.user_cache = user
        return values
