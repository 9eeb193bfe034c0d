"""`setup sieve`: the Sieve scripts of the folder."""

from mailroster.app.sieve_scripts import states
from mailroster.cli.call import Call, print_json, print_list


def show(call: Call) -> int:
    """Prints each script, and whether its current text is live."""
    scripts = states(call.home)
    if "--json" in call.options:
        print_json([script._asdict() for script in scripts])
        return 0
    print_list(
        [
            f"* {script.name}"
            + ("" if script.account is not False else ", no account")
            + (", live" if script.live else ", not live")
            for script in scripts
        ]
    )
    return 0
