"""The base of every serializer: a typo never passes in silence, and an id in a body is looked up among the caller's own rows only."""

from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils.functional import cached_property
from rest_framework import serializers

from craft.encoding import utc_text
from craft.models import CompanyQuerySet


class StrictMixin:
    """Unknown fields are an error that names them. Read-only ones, sent back, are ignored."""

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = [str(key) for key in data if key not in self.fields]
            if unknown:
                known = ", ".join(
                    name for name, field in self.fields.items() if not field.read_only
                )
                raise serializers.ValidationError(
                    dict.fromkeys(
                        unknown, f"Unknown field. Known are: {known or 'none'}."
                    )
                )
        return super().to_internal_value(data)  # type: ignore[misc]  # a mixin of serializers

    @cached_property
    def _readable_fields(self) -> list[Any]:
        """DRF looks for them anew for each row."""
        return [field for field in self.fields.values() if not field.write_only]


class DateTimeField(serializers.DateTimeField):
    def to_representation(self, value: Any) -> Any:
        """What DRF makes of a time in UTC, without asking for the zone of each."""
        if isinstance(value, datetime) and value.tzinfo is UTC:
            return utc_text(value)
        return super().to_representation(value)


class Serializer(StrictMixin, serializers.Serializer[Any]):
    pass


class ModelSerializer(StrictMixin, serializers.ModelSerializer[Any]):
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: DateTimeField,
    }

    def build_relational_field(self, field_name: str, relation_info: Any) -> Any:
        # DRF would look an id up among everybody's rows.
        field_class, kwargs = super().build_relational_field(field_name, relation_info)
        if not kwargs.get("read_only"):
            raise TypeError(
                f"{type(self).__name__}.{field_name}: declare a CompanyRelatedField, or make it read-only."
            )
        return field_class, kwargs


class CompanyRelatedField(serializers.PrimaryKeyRelatedField[Any]):
    """An id in a body. Another company's is as unknown as one that never was."""

    default_error_messages = {
        "does_not_exist": "There is no such object: {pk_value}.",
        "incorrect_type": "Must be an id, as text.",
    }

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        if not isinstance(queryset, CompanyQuerySet):
            raise TypeError(
                "A CompanyRelatedField takes the guarded `objects` of a company's table."
            )
        return queryset.for_company(self.context["request"].company)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or "\0" in data:
            self.fail("incorrect_type", data_type=type(data).__name__)
        return super().to_internal_value(data)
