import django_filters as filters

from agents.models import Agent, AgentExecution, AgentStatus
from craft.leases import Status


class AgentFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=AgentStatus.choices)
    type = filters.CharFilter()
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="In the name, any case."
    )

    class Meta:
        model = Agent
        fields: list[str] = []


class AgentExecutionFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Status.choices)

    class Meta:
        model = AgentExecution
        fields: list[str] = []
