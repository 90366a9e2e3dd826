from craft.copies import Copied, Copies, LeftOut
from workflows.models import (
    Approval,
    Decision,
    Execution,
    ExecutionLabel,
    Firing,
    GuestUse,
    Payload,
    Rating,
    Schedule,
    SeenKey,
    Signal,
    Step,
    TriggerSecret,
    Workflow,
    WorkflowTest,
    WorkflowVersion,
)
from workflows.nodes.store import outputs_of

COPIES: Copies = {
    Workflow: Copied(
        anew={
            "usage_count": 0,
            "removed_count": 0,
            "ended_count": 0,
            "ended_ms_total": 0,
            "rating_count": 0,
            "rating_total": 0,
        }
    ),
    WorkflowVersion: Copied(of="workflow__company"),
    WorkflowTest: Copied(),
    Rating: LeftOut("what was thought of a public workflow, which a copy is not"),
    GuestUse: LeftOut("a count of executions that are left out themselves"),
    Execution: LeftOut("a record of what was run elsewhere", folder_of=outputs_of),
    ExecutionLabel: LeftOut("a part of that record"),
    Payload: LeftOut("a part of that record", of="execution__company"),
    Step: LeftOut("a part of that record", of="execution__company"),
    SeenKey: LeftOut("what was seen elsewhere"),
    Signal: LeftOut("what was sent to that execution"),
    Approval: LeftOut("what was asked in it"),
    Decision: LeftOut("what was answered there", of="approval__company"),
    Schedule: LeftOut(
        "a copy fires by itself only once somebody has published it there",
        of="workflow__company",
    ),
    Firing: LeftOut("what waits to fire elsewhere", of="schedule__workflow__company"),
    TriggerSecret: LeftOut(
        "who knows it starts the live workflow, not its copy", of="workflow__company"
    ),
}
