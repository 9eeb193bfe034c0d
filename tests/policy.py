"""Requests to the policy service without a socket."""

from collections.abc import Mapping

from mailroster.policy.answers import Policy


async def answered(policy: Policy, request: Mapping[str, str]) -> str:
    """The action about a request, however long it takes."""
    answer = policy.answer(request)
    return answer if isinstance(answer, str) else await answer
