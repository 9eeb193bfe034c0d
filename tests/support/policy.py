"""Requests to the policy service without a socket."""

import asyncio
from collections.abc import Mapping

from mailroster.daemons.policy.decisions import Policy


async def answered(policy: Policy, request: Mapping[str, str]) -> str:
    """The action about a request, however long it takes."""
    answer = policy.answer(request)
    return answer if isinstance(answer, str) else await answer


async def settled(policy: Policy, request: Mapping[str, str]) -> str:
    """The same, once nothing is asked in the background."""
    action = await answered(policy, request)
    await asyncio.gather(*policy._rooms._background)
    return action
