"""`setup quota`."""

from mailroster.base.sizes import normal_size
from mailroster.cli.call import Call, account_address
from mailroster.cli.edit import run_edit
from mailroster.edits import accounts
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))

    def verb(roster: Roster) -> Roster:
        return accounts.set_quota(roster, quota)

    return run_edit(call, verb, notes_on=("quotas", quota.address), judged=True)


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return run_edit(call, lambda roster: accounts.delete_quota(roster, address))
