"""`setup quota`."""

from mailroster import edits
from mailroster.cli.call import Call, account_address
from mailroster.formats.quotas import Quota
from mailroster.quota import normal_size
from mailroster.roster import Roster


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))

    def verb(roster: Roster) -> Roster:
        return edits.set_quota(roster, quota)

    return call.edit(call.annotating(verb, "quotas", quota.address), judged=True)


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return call.edit(lambda roster: edits.delete_quota(roster, address))
