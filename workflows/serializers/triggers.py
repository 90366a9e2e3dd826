from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from workflows.models import TriggerSecret
from workflows.models.schedules import Misfire, Overlap
from workflows.services.trigger_secrets import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS
from workflows.services.triggers import TYPES, check_trigger

WEBHOOK = """`{"type": "webhook"}` takes:
- `auth`: who may start it. `key` (the default): an API key. `secret`: also whoever sends the workflow's own secret in the header that `header` names (`X-Webhook-Secret`). `signature`: also whoever signs with that secret. `open`: anybody.
- `preset`: whose signature it is: `standard` (standardwebhooks.com, the default), `github`, `stripe`.
- `answer`: `accepted` (202 at once, the default), `last` (the output), `respond` (what the respond node says). `timeout_seconds`: how long the caller is kept waiting for the latter two, 0.1 to 60 (30).
- `idempotency`: what names a call, so that its repetitions start nothing: `{"header": "X-Call-ID"}`, `{"expression": "{{ body.id }}"}` or null. A preset brings its sender's own.
- `methods`: out of `GET`, `POST`, `PUT`, `PATCH`, `DELETE` (`["POST"]`)."""
SCHEDULE = """`{"type": "schedule"}` takes `cron` (five fields, or a name such as `@daily`) or `every` (`30s`, `15m`, `2h`, `1d`); `{"type": "cron"}` takes `schedule` (five fields; daily at midnight where it says nothing). Both take:
- `timezone` (`UTC`), `start_at`, `end_at`, `jitter_seconds` (0).
- `misfire`: what becomes of times that were missed: `skip`, `last` (the default), `all`. `catch_up_seconds`: how old they may be (a year).
- `overlap`: what happens while the execution before still runs: `allow` (the default), `skip`, `queue`, `cancel`."""


@extend_schema_field(
    {
        "description": f"What starts it: a word (`webhook`, `cron`, `manual`, `api`), or an object with such a `type`.\n\n{WEBHOOK}\n\n{SCHEDULE}",
        "example": {
            "type": "cron",
            "schedule": "*/5 * * * *",
            "timezone": "Europe/Berlin",
        },
    }
)
class TriggerField(serializers.JSONField):
    """A word, or an object; `workflows.services.triggers` reads it."""

    def to_internal_value(self, data: Any) -> Any:
        faults = check_trigger(data)
        if faults and not isinstance(data, dict):
            raise serializers.ValidationError(next(iter(faults.values())))
        if list(faults) == ["type"] and data.get("type") not in TYPES:
            raise serializers.ValidationError(faults["type"])
        if faults:
            raise serializers.ValidationError(faults)
        return data


class NextTimeSerializer(Serializer):
    at = serializers.DateTimeField(help_text="In UTC.")
    local = serializers.CharField(help_text="In the schedule's time zone.")


class ScheduleSerializer(Serializer):
    """When a workflow fires by itself."""

    workflow_id = serializers.CharField()
    status = serializers.ChoiceField(
        ["active", "paused", "draft", "ended"],
        help_text="`draft`: the workflow is not published, so nothing fires. `ended`: no time is to come.",
    )
    cron = serializers.CharField(help_text="Empty where it has an interval.")
    every_seconds = serializers.IntegerField(help_text="0 where it has a pattern.")
    timezone = serializers.CharField()
    start_at = serializers.DateTimeField(allow_null=True)
    end_at = serializers.DateTimeField(allow_null=True)
    jitter_seconds = serializers.IntegerField()
    misfire = serializers.ChoiceField(Misfire.choices)
    catch_up_seconds = serializers.IntegerField()
    overlap = serializers.ChoiceField(Overlap.choices)
    next_times = NextTimeSerializer(
        many=True, help_text="The next five due times; jitter comes on top of them."
    )
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_by = serializers.CharField(allow_null=True)
    waiting_count = serializers.IntegerField(
        help_text="Due times that wait until the execution before them is over."
    )
    skipped_count = serializers.IntegerField(
        help_text="Due times that gave way to an execution that still ran."
    )
    last_execution_id = serializers.CharField(allow_null=True)

    class Meta:
        resource = "schedule"


class BackfillSerializer(Serializer):
    to = serializers.DateTimeField(help_text="The last moment, included.")
    overlap = serializers.ChoiceField(
        ["queue", "allow"],
        default="queue",
        help_text="`queue` runs one after the other, `allow` all at once.",
    )

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name that a class could give."""
        begin = serializers.DateTimeField(help_text="The first moment, included.")
        return {"from": begin, **super().get_fields()}


class BackfilledSerializer(Serializer):
    due = serializers.IntegerField(help_text="Due times in the range.")
    started = serializers.IntegerField(help_text="Executions that began.")
    queued = serializers.IntegerField(help_text="Those that wait for their turn.")


class TriggerSecretSerializer(ModelSerializer):
    """The secret of a workflow's trigger, without the secret."""

    workflow_id = serializers.CharField(read_only=True)
    created_by = serializers.CharField(
        source="created_by_id", read_only=True, allow_null=True
    )

    class Meta:
        model = TriggerSecret
        fields = [
            "workflow_id",
            "hint",
            "rotated_at",
            "previous_expires_at",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class NewTriggerSecretSerializer(TriggerSecretSerializer):
    """A secret, shown this once."""

    secret = serializers.SerializerMethodField()

    class Meta(TriggerSecretSerializer.Meta):
        fields = ["secret", *TriggerSecretSerializer.Meta.fields]
        read_only_fields = fields

    def get_secret(self, row: TriggerSecret) -> str:
        return str(self.context["secret"])


class ChangeSecretSerializer(Serializer):
    secret = serializers.RegexField(
        r"^[!-~]{16,200}$",
        required=False,
        help_text="One that the sender made, such as Stripe's or GitHub's: 16 to 200 visible ASCII characters. Without it, a new one is made.",
        error_messages={"invalid": "Must be 16 to 200 visible ASCII characters."},
    )
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=OVERLAP_SECONDS,
        help_text="For how long the secret before goes on working: a day where you say nothing; 0 ends it at once.",
    )
