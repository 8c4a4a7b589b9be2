"""Asks `issue` in a process of its own, which ends with its answer.

To make a certificate once in 20 days, a service need not carry `cryptography` (8 MB) all the time.
"""

import asyncio
import sys

import msgspec

from weft_webhook.pair import Question, Settled

SECONDS = 60.0
"""A node that just starts is slow."""


class IssueError(OSError):
    """The process did not answer; its own words are on stderr."""


async def settle(question: Question) -> Settled:
    """The answer of a process that ends with it; IssueError when there is none."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "weft_webhook.issue")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate(msgspec.json.encode(question))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise IssueError(f"the process that makes certificates ended with {process.returncode}")
    try:
        return msgspec.json.decode(said, type=Settled)
    except msgspec.DecodeError as error:
        raise IssueError(f"the process that makes certificates said what cannot be read: {error}") from error
