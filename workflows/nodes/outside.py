"""Work for the sandbox: what a library that strangers might break, or keep busy, does for a node."""

import asyncio
import logging
from typing import Any

from craft import sandbox
from craft.exceptions import InvalidError
from craft.sandbox import MB, JobFailedError, Limits, OverLimitError
from workflows.nodes.base import NodeError

logger = logging.getLogger("craft.engine")

JOB = "workflows.runner.carry_out"
LIMITS = Limits(seconds=5, memory_bytes=256 * MB, file_bytes=0, open_files=32)


def warm_up() -> None:
    """Have the parent of child processes import what the first job would otherwise wait for."""
    sandbox.warm_up(JOB)


async def do(
    job: str, *, limits: Limits | None = None, code: str, **payload: Any
) -> Any:
    """The result of a job of `workflows.runner`. What it refuses is an error with this code."""
    try:
        return await asyncio.to_thread(
            sandbox.run, JOB, {"job": job, **payload}, limits=limits or LIMITS
        )
    except OverLimitError as error:
        raise NodeError(error.message, code="over_limit") from None
    except InvalidError as error:
        raise NodeError(error.message, code=code) from None
    except JobFailedError as error:
        logger.warning("the sandbox job %s failed: %s", job, error)
        raise NodeError("This can't be worked on.", code=code) from error
