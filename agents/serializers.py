from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Outlet
from agents.llm import provider_of
from agents.llm.base import ModelInfo
from agents.models import Agent, AgentExecution
from craft.api.serializers import (
    CompanyRelatedField,
    ModelSerializer,
    Serializer,
)
from craft.exceptions import InvalidError
from datasources.models import DataSource

MAX_INPUT = 100_000
MAX_INSTRUCTIONS = 50_000
MAX_SOURCES = 50
MAX_UI_SETTINGS = 100
OUTPUT_FORMATS = ["text", "markdown", "json"]
CONFIGURATION_NAMES = ("configuration", "config")
TOP_NAMES = ("model", "temperature", "max_tokens", "instructions")


class ModelNameField(serializers.CharField):
    """A model of a known family. Its provider need not have a key yet: running it is when that is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        try:
            provider_of(name)
        except InvalidError as error:
            raise serializers.ValidationError(error.message) from None
        return name


class ConfigurationSerializer(Serializer):
    """What the agent's model is told. Updates are merged key by key; null removes a key."""

    model = ModelNameField(
        required=False,
        allow_null=True,
        help_text="See GET /models. Default: craftai-1.",
    )
    temperature = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=2
    )
    max_tokens = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=200_000
    )
    top_p = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1
    )
    instructions = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=MAX_INSTRUCTIONS
    )
    timeout_seconds = serializers.FloatField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=300,
        help_text="How long an answer may take. Default: 60.",
    )

    def to_representation(self, instance: Any) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {key: value for key, value in shown.items() if value is not None}


class DataSourcesField(serializers.ListField):
    """Ids of data sources of the caller's company, looked up in one query."""

    child = serializers.CharField(max_length=64)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_SOURCES, **kwargs)

    def to_internal_value(self, data: Any) -> list[DataSource]:
        ids = list(dict.fromkeys(super().to_internal_value(data)))
        company = self.context["request"].company
        found = DataSource.objects.for_company(company).in_bulk(ids)
        unknown = [key for key in ids if key not in found]
        if unknown:
            raise serializers.ValidationError(
                f"There is no such data source: {', '.join(unknown)}."
            )
        return [found[key] for key in ids]

    def to_representation(self, data: Any) -> list[str]:
        return sorted(source.pk for source in data.all())


class UiSettingsField(serializers.DictField):
    """The owner's own settings for whatever shows the agent."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(value) > MAX_UI_SETTINGS:
            raise serializers.ValidationError(f"At most {MAX_UI_SETTINGS} keys.")
        return value


class AgentSerializer(ModelSerializer):
    """An agent. `model`, `temperature`, `max_tokens` and `instructions` may stand at the top, in `configuration`, or in `config`."""

    agent_id = serializers.CharField(source="id", read_only=True)
    configuration = ConfigurationSerializer(required=False)
    config = ConfigurationSerializer(
        required=False, source="configuration", help_text="The same as configuration."
    )
    model = ModelNameField(required=False, allow_null=True)
    temperature = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=2, write_only=True
    )
    max_tokens = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=200_000,
        write_only=True,
    )
    instructions = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MAX_INSTRUCTIONS,
        write_only=True,
    )
    data_sources = DataSourcesField(required=False)
    ui_settings = UiSettingsField(required=False)
    created_by = serializers.CharField(source="created_by_id", read_only=True)

    class Meta:
        model = Agent
        resource = "agent"
        fields = [
            "agent_id",
            "id",
            "name",
            "type",
            "description",
            "status",
            "model",
            "temperature",
            "max_tokens",
            "instructions",
            "configuration",
            "config",
            "data_sources",
            "ui_settings",
            "version",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["version"]

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        values.pop("configuration", None)
        changes = self._changes(data)
        for name in TOP_NAMES:
            values.pop(name, None)
        if changes:
            values["configuration"] = changes
        return values

    def _changes(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the three places say that is new. What was read and is sent back unchanged says nothing, so that either name may be edited."""
        kept = self.instance.configuration if isinstance(self.instance, Agent) else {}
        told: list[tuple[str, dict[str, Any]]] = [
            (name, ConfigurationSerializer().to_internal_value(data[name]))
            for name in CONFIGURATION_NAMES
            if data.get(name)
        ]
        top = {name: data[name] for name in TOP_NAMES if name in data}
        told.append(("", ConfigurationSerializer().to_internal_value(top)))
        changes: dict[str, Any] = {}
        for place, values in told:
            for key, value in values.items():
                if value == kept.get(key) or (
                    key == "model" and not place and self._is_default(value)
                ):
                    continue
                if key in changes and changes[key] != value:
                    raise serializers.ValidationError(
                        {key: "Given twice, with different values."}
                    )
                changes[key] = value
        return changes

    def _is_default(self, model: Any) -> bool:
        """The default, which an answer shows at the top, sent back."""
        return isinstance(self.instance, Agent) and model == self.instance.model


class AgentPreviewSerializer(ModelSerializer):
    """What a page needs to show an agent."""

    agent_id = serializers.CharField(source="id", read_only=True)
    config = ConfigurationSerializer(source="configuration", read_only=True)

    class Meta:
        model = Agent
        resource = "agent"
        fields = [
            "agent_id",
            "id",
            "name",
            "type",
            "description",
            "status",
            "model",
            "config",
            "ui_settings",
        ]
        read_only_fields = fields


class PreviewTestSerializer(Serializer):
    input = serializers.CharField(max_length=MAX_INPUT)
    model = ModelNameField(required=False)
    output_format = serializers.ChoiceField(choices=OUTPUT_FORMATS, default="text")


class ExecuteSerializer(PreviewTestSerializer):
    outlet_id = CompanyRelatedField(
        queryset=Outlet.objects.all(),
        required=False,
        allow_null=True,
        help_text="On whose behalf it is asked: one of the company's outlets.",
    )
    data_sources = DataSourcesField(
        required=False, help_text="Only these of the agent's own."
    )

    def validate_outlet_id(self, outlet: Outlet | None) -> str:
        return outlet.pk if outlet else ""


class AgentExecutionSerializer(ModelSerializer):
    """One question to an agent and its answer. `citations` hold the statements that were run, with their first rows."""

    execution_id = serializers.CharField(source="id", read_only=True)
    agent_id = serializers.CharField(read_only=True)
    tokens_used = serializers.IntegerField(read_only=True)
    created_by = serializers.CharField(source="created_by_id", read_only=True)
    cost = serializers.SerializerMethodField(
        help_text="In dollars at list price; null where no price is known."
    )

    class Meta:
        model = AgentExecution
        resource = "execution"
        fields = [
            "execution_id",
            "id",
            "agent_id",
            "version",
            "status",
            "input",
            "response",
            "output",
            "output_format",
            "outlet_id",
            "model",
            "tokens_used",
            "input_tokens",
            "output_tokens",
            "cost",
            "data_sources_queried",
            "citations",
            "error",
            "execution_time_ms",
            "created_by",
            "created_at",
            "completed_at",
        ]
        read_only_fields = fields

    def get_cost(self, execution: AgentExecution) -> float | None:
        micros = execution.cost_micros
        return None if micros is None else micros / 1_000_000


class AnswerSerializer(Serializer):
    """What an agent answered. `response` is text; with `output_format: json` it is JSON text, and `output` holds the value."""

    response = serializers.CharField(read_only=True)
    execution_id = serializers.CharField(source="id", read_only=True)
    status = serializers.CharField(read_only=True)
    output = serializers.JSONField(read_only=True)
    model = serializers.CharField(read_only=True)
    tokens_used = serializers.IntegerField(read_only=True)
    data_sources_queried = serializers.ListField(
        child=serializers.CharField(), read_only=True
    )
    citations = serializers.ListField(child=serializers.DictField(), read_only=True)
    execution_time_ms = serializers.IntegerField(read_only=True)


class PreviewAnswerSerializer(AnswerSerializer):
    preview = serializers.BooleanField(source="is_preview", read_only=True)


class ModelInfoSerializer(Serializer):
    """A model that an agent may name. Prices are in dollars, per call or per million tokens."""

    id = serializers.CharField()
    description = serializers.CharField()
    provider = serializers.CharField()
    available = serializers.SerializerMethodField(
        help_text="Whether this installation has what it needs to run it."
    )
    throughput_rps = serializers.IntegerField(allow_null=True)
    price_per_call = serializers.FloatField(allow_null=True)
    input_price_per_million = serializers.FloatField(
        source="input_price", allow_null=True
    )
    output_price_per_million = serializers.FloatField(
        source="output_price", allow_null=True
    )

    class Meta:
        resource = "model"

    def get_available(self, model: ModelInfo) -> bool:
        return provider_of(model.id).is_available()
