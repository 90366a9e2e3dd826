from agents.models import Agent, AgentExecution, AgentVersion
from craft.copies import Copied, Copies, LeftOut

COPIES: Copies = {
    Agent: Copied(),
    AgentVersion: Copied(),
    AgentExecution: LeftOut("a record of what was asked elsewhere"),
}
