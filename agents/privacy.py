"""What becomes of a person's rows in this app."""

from agents.models import Agent, AgentExecution, AgentVersion
from craft.privacy import Policies, Unlinked

POLICIES: Policies = {
    Agent: Unlinked(told=("id", "company_id", "name", "created_at")),
    AgentVersion: Unlinked(told=("id", "company_id", "number", "created_at")),
    AgentExecution: Unlinked(
        told=("id", "company_id", "agent_id", "input", "response", "created_at")
    ),
}
