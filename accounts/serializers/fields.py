"""Fields that companies, outlets and people share."""

import re
import zoneinfo
from functools import cache
from itertools import pairwise
from typing import Any

from rest_framework import serializers

from craft.api.serializers import Serializer

INDUSTRIES = [
    "Technology",
    "Healthcare",
    "Finance",
    "Agriculture",
    "Automotive",
    "Construction",
    "Consulting",
    "Education",
    "Energy",
    "Entertainment",
    "Food & Beverage",
    "Government",
    "Hospitality",
    "Insurance",
    "Legal",
    "Logistics",
    "Manufacturing",
    "Marketing",
    "Media",
    "Non-profit",
    "Pharmaceuticals",
    "Real Estate",
    "Retail",
    "Telecommunications",
    "Travel",
    "Other",
]
# ISO 3166-1
COUNTRIES = frozenset(
    [
        "AD",
        "AE",
        "AF",
        "AG",
        "AI",
        "AL",
        "AM",
        "AO",
        "AQ",
        "AR",
        "AS",
        "AT",
        "AU",
        "AW",
        "AX",
        "AZ",
        "BA",
        "BB",
        "BD",
        "BE",
        "BF",
        "BG",
        "BH",
        "BI",
        "BJ",
        "BL",
        "BM",
        "BN",
        "BO",
        "BQ",
        "BR",
        "BS",
        "BT",
        "BV",
        "BW",
        "BY",
        "BZ",
        "CA",
        "CC",
        "CD",
        "CF",
        "CG",
        "CH",
        "CI",
        "CK",
        "CL",
        "CM",
        "CN",
        "CO",
        "CR",
        "CU",
        "CV",
        "CW",
        "CX",
        "CY",
        "CZ",
        "DE",
        "DJ",
        "DK",
        "DM",
        "DO",
        "DZ",
        "EC",
        "EE",
        "EG",
        "EH",
        "ER",
        "ES",
        "ET",
        "FI",
        "FJ",
        "FK",
        "FM",
        "FO",
        "FR",
        "GA",
        "GB",
        "GD",
        "GE",
        "GF",
        "GG",
        "GH",
        "GI",
        "GL",
        "GM",
        "GN",
        "GP",
        "GQ",
        "GR",
        "GS",
        "GT",
        "GU",
        "GW",
        "GY",
        "HK",
        "HM",
        "HN",
        "HR",
        "HT",
        "HU",
        "ID",
        "IE",
        "IL",
        "IM",
        "IN",
        "IO",
        "IQ",
        "IR",
        "IS",
        "IT",
        "JE",
        "JM",
        "JO",
        "JP",
        "KE",
        "KG",
        "KH",
        "KI",
        "KM",
        "KN",
        "KP",
        "KR",
        "KW",
        "KY",
        "KZ",
        "LA",
        "LB",
        "LC",
        "LI",
        "LK",
        "LR",
        "LS",
        "LT",
        "LU",
        "LV",
        "LY",
        "MA",
        "MC",
        "MD",
        "ME",
        "MF",
        "MG",
        "MH",
        "MK",
        "ML",
        "MM",
        "MN",
        "MO",
        "MP",
        "MQ",
        "MR",
        "MS",
        "MT",
        "MU",
        "MV",
        "MW",
        "MX",
        "MY",
        "MZ",
        "NA",
        "NC",
        "NE",
        "NF",
        "NG",
        "NI",
        "NL",
        "NO",
        "NP",
        "NR",
        "NU",
        "NZ",
        "OM",
        "PA",
        "PE",
        "PF",
        "PG",
        "PH",
        "PK",
        "PL",
        "PM",
        "PN",
        "PR",
        "PS",
        "PT",
        "PW",
        "PY",
        "QA",
        "RE",
        "RO",
        "RS",
        "RU",
        "RW",
        "SA",
        "SB",
        "SC",
        "SD",
        "SE",
        "SG",
        "SH",
        "SI",
        "SJ",
        "SK",
        "SL",
        "SM",
        "SN",
        "SO",
        "SR",
        "SS",
        "ST",
        "SV",
        "SX",
        "SY",
        "SZ",
        "TC",
        "TD",
        "TF",
        "TG",
        "TH",
        "TJ",
        "TK",
        "TL",
        "TM",
        "TN",
        "TO",
        "TR",
        "TT",
        "TV",
        "TW",
        "TZ",
        "UA",
        "UG",
        "UM",
        "US",
        "UY",
        "UZ",
        "VA",
        "VC",
        "VE",
        "VG",
        "VI",
        "VN",
        "VU",
        "WF",
        "WS",
        "YE",
        "YT",
        "ZA",
        "ZM",
        "ZW",
    ]
)
WEEKDAYS = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
A_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{3,30}[0-9]", re.ASCII)
A_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", re.ASCII)
SPANS_PER_DAY = 8
MAX_VARIABLES = 100


@cache
def time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


class TimeZoneField(serializers.CharField):
    """A name of the IANA's: `Europe/Berlin`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=64, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in time_zones():
            raise serializers.ValidationError(
                f"There is no time zone {name!r}. Name one as the IANA does: Europe/Berlin."
            )
        return name


class PhoneField(serializers.CharField):
    """Digits, and what people put between them: `+49 30 123456`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=40, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        phone = super().to_internal_value(data)
        if phone and not A_PHONE.fullmatch(phone):
            raise serializers.ValidationError(
                "Not a telephone number. Write it like +49 30 123456."
            )
        return phone


class CountryField(serializers.CharField):
    """Two letters, ISO 3166-1: `DE`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data).upper()
        if code and code not in COUNTRIES:
            raise serializers.ValidationError(
                f"There is no country {code!r}. Use its two letters, ISO 3166-1: DE."
            )
        return code


class SpanSerializer(Serializer):
    """From when to when: `{"opens": "09:00", "closes": "18:30"}`. `closes` may be `24:00`."""

    opens = serializers.RegexField(A_TIME)
    closes = serializers.RegexField(A_TIME)

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        if attrs["closes"] <= attrs["opens"]:
            raise serializers.ValidationError(
                {
                    "closes": "Must be after `opens`. What goes on past midnight is written as two: until 24:00, and from 00:00 on the next day."
                }
            )
        return attrs


class OpeningHoursField(serializers.DictField):
    """When it is open, by weekday. A day that is left out, or has no spans, is one when it is closed."""

    def __init__(self, **kwargs: Any) -> None:
        spans = serializers.ListField(child=SpanSerializer(), max_length=SPANS_PER_DAY)
        super().__init__(child=spans, **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            unknown = [str(key) for key in data if key not in WEEKDAYS]
            if unknown:
                raise serializers.ValidationError(
                    dict.fromkeys(
                        unknown, f"Not a weekday. Those are: {', '.join(WEEKDAYS)}."
                    )
                )
        days = super().to_internal_value(data)
        return {day: _in_order(day, days[day]) for day in WEEKDAYS if day in days}


def _in_order(day: str, spans: list[dict[str, str]]) -> list[dict[str, str]]:
    ordered = sorted((dict(span) for span in spans), key=lambda span: span["opens"])
    for earlier, later in pairwise(ordered):
        if later["opens"] < earlier["closes"]:
            raise serializers.ValidationError(
                {day: f"Two spans overlap at {later['opens']}."}
            )
    return ordered


class VariablesField(serializers.DictField):
    """The caller's own values, by name."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(value) > MAX_VARIABLES:
            raise serializers.ValidationError(f"At most {MAX_VARIABLES} keys.")
        return value
