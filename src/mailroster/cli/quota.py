"""`setup quota`."""

from mailroster import edits
from mailroster.cli.call import Call, account_address
from mailroster.formats.quotas import Quota
from mailroster.quota import normal_size


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))
    return call.edit(lambda roster: edits.set_quota(roster, quota))


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return call.edit(lambda roster: edits.delete_quota(roster, address))
