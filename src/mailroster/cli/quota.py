"""`setup quota`."""

from mailroster.base.sizes import normal_size
from mailroster.cli.call import Call, account_address
from mailroster.edits import accounts
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))

    def verb(roster: Roster) -> Roster:
        return accounts.set_quota(roster, quota)

    return call.edit(call.annotating(verb, "quotas", quota.address), judged=True)


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return call.edit(lambda roster: accounts.delete_quota(roster, address))
