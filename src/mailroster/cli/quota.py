"""`setup quota`."""

from mailroster import edits
from mailroster.annotations import annotate
from mailroster.cli.call import Call, account_address
from mailroster.cli.notes import said
from mailroster.formats.quotas import Quota
from mailroster.quota import normal_size
from mailroster.roster import Roster


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))
    about = said(call)

    def verb(roster: Roster) -> Roster:
        return annotate(edits.set_quota(roster, quota), "quotas", quota.address, about)

    return call.edit(verb)


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return call.edit(lambda roster: edits.delete_quota(roster, address))
