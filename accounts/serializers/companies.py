from django.core.validators import URLValidator
from rest_framework import serializers

from accounts.models import Company, Outlet
from accounts.serializers.fields import (
    INDUSTRIES,
    CountryField,
    OpeningHoursField,
    PhoneField,
    TimeZoneField,
    VariablesField,
)
from craft.api.serializers import ModelSerializer, Serializer


class CompanySerializer(ModelSerializer):
    """A company."""

    name = serializers.CharField(max_length=200)
    industry = serializers.ChoiceField(
        choices=INDUSTRIES,
        allow_blank=True,
        required=False,
        help_text="One of `GET /utils/industries`.",
    )
    website = serializers.URLField(
        max_length=300,
        allow_blank=True,
        required=False,
        validators=[URLValidator(["http", "https"])],
    )
    phone = PhoneField(required=False)
    country = CountryField(required=False)
    time_zone = TimeZoneField(required=False)

    class Meta:
        model = Company
        resource = "company"
        resources = "companies"
        fields = [
            "id",
            "name",
            "industry",
            "website",
            "phone",
            "address",
            "country",
            "time_zone",
            "created_at",
            "updated_at",
        ]


class IndustriesSerializer(Serializer):
    industries = serializers.ListField(child=serializers.CharField(), read_only=True)


class OutletSerializer(ModelSerializer):
    """A branch of a company: a shop, an office."""

    outlet_id = serializers.CharField(source="id", read_only=True)
    phone = PhoneField(required=False)
    time_zone = TimeZoneField(
        required=False, help_text="As the IANA names it. Default: the company's."
    )
    opening_hours = OpeningHoursField(
        required=False,
        help_text='By weekday, in the outlet\'s time zone: `{"monday": [{"opens": "09:00", "closes": "18:30"}]}`. A day that is left out is closed.',
    )
    variables = VariablesField(required=False, help_text="Your own values, by name.")

    class Meta:
        model = Outlet
        resource = "outlet"
        fields = [
            "outlet_id",
            "id",
            "company_id",
            "name",
            "address",
            "phone",
            "time_zone",
            "opening_hours",
            "variables",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["company_id"]
