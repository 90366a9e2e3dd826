"""The tools that agents' models may call. Apps above add their own here, in their `apps.py`."""

from agents.tools.base import AgentTool
from agents.tools.describe_data import DescribeData
from agents.tools.query_data import QueryData

TOOLS: dict[str, type[AgentTool]] = {
    "describe_data": DescribeData,
    "query_data": QueryData,
}
