import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from datasources.guard import MAX_LENGTH
from datasources.models import DataSource, DataTable

MAX_CONFIG_BYTES = 16 * 1024


class ColumnSerializer(Serializer):
    name = serializers.CharField(read_only=True)
    type = serializers.CharField(read_only=True, help_text="DuckDB's name of the type.")


class TableSerializer(ModelSerializer):
    """A table, by the name that queries know it by."""

    columns = ColumnSerializer(many=True, read_only=True)
    sample_rows = serializers.ListField(
        child=serializers.DictField(), source="sample", read_only=True
    )
    file = serializers.CharField(
        source="original_name", read_only=True, help_text="The upload it came from."
    )

    class Meta:
        model = DataTable
        fields = ["name", "columns", "row_count", "bytes", "file", "sample_rows"]
        read_only_fields = fields


class SchemaSerializer(Serializer):
    tables = TableSerializer(many=True, read_only=True)


@extend_schema_field({"type": "object", "additionalProperties": True})
class ConnectionConfigField(serializers.JSONField):
    """Settings of a connection. An update merges them key by key; null removes one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.")
        if len(json.dumps(data)) > MAX_CONFIG_BYTES:
            raise serializers.ValidationError(
                f"Must not be larger than {MAX_CONFIG_BYTES // 1024} KB."
            )
        return super().to_internal_value(data)


class DataSourceListSerializer(ModelSerializer):
    connection_id = serializers.CharField(
        source="id", read_only=True, help_text="The same as `id`."
    )
    source_name = serializers.CharField(max_length=200)

    class Meta:
        model = DataSource
        resource = "data_source"
        fields = [
            "id",
            "connection_id",
            "source_name",
            "source_type",
            "engine",
            "mode",
            "status",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [name for name in fields if name != "source_name"]


class DataSourceSerializer(DataSourceListSerializer):
    """A data source, and what can be asked of it."""

    connection_config = ConnectionConfigField(required=False)
    schema = SchemaSerializer(source="*", read_only=True)

    class Meta(DataSourceListSerializer.Meta):
        fields = [
            *DataSourceListSerializer.Meta.fields,
            "connection_config",
            "schema",
        ]


class UploadSerializer(Serializer):
    """A multipart form."""

    file = serializers.ListField(
        child=serializers.FileField(),
        allow_empty=False,
        help_text="CSV, JSON, Parquet or XLSX. May repeat: each file, and each sheet of a workbook, becomes a table.",
    )
    source_name = serializers.CharField(
        max_length=200,
        required=False,
        help_text="By default the name of the first file.",
    )


class QuerySerializer(Serializer):
    connection_id = serializers.CharField(max_length=64)
    query = serializers.CharField(
        max_length=MAX_LENGTH,
        help_text="One SELECT in DuckDB's SQL over the source's tables.",
    )
    limit = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        help_text="How many rows to answer at most; by default 1,000.",
    )


class QueryResultSerializer(Serializer):
    results = serializers.ListField(
        child=serializers.DictField(),
        source="rows",
        help_text="The rows, column → value.",
    )
    row_count = serializers.IntegerField(help_text="How many rows are in `results`.")
    execution_time_ms = serializers.IntegerField()
    columns = ColumnSerializer(many=True)
    truncated = serializers.BooleanField(help_text="Whether there were more rows.")


class ConnectionTestSerializer(Serializer):
    connected = serializers.BooleanField()
    message = serializers.CharField()
    latency_ms = serializers.IntegerField()
