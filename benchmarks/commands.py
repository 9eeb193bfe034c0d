"""CPU of each command as a multiple of bare Python's, and of a copy of the accounts file:
`python -m benchmarks.commands [N] [RUNS]`.

The change is applied to the tables, as with a running server, whose own CPU does not count here.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.folder import make_tables, medians, python, setup_script, write_config


def main(accounts: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_config(home / "config", accounts)
        make_tables(home)
        setup = [setup_script(), "--home", folder]
        some = "user7@domain7.example.com"
        commands = {
            "bare": lambda run: [python(), "-c", "pass"],
            "copy": lambda run: ["cp", f"{folder}/config/postfix-accounts.cf", f"{folder}/copy"],
            "help": lambda run: [*setup, "help"],
            "alias add": lambda run: [
                *setup,
                "alias",
                "add",
                f"new{run}@domain1.example.com",
                some,
            ],
            "quota set": lambda run: [*setup, "quota", "set", some, f"{run + 10}M"],
            "email add": lambda run: [*setup, "email", "add", f"n{run}@domain1.example.com", "pw"],
            "email update": lambda run: [
                *setup,
                "email",
                "update",
                "user8@domain8.example.com",
                f"password{run}",
            ],
            "email del": lambda run: [*setup, "email", "del", "-n", f"n{run}@domain1.example.com"],
            "email list": lambda run: [*setup, "email", "list"],
            "check": lambda run: [*setup, "check"],
        }
        figures = medians(commands, runs)
    bare, copy = figures.pop("bare"), figures.pop("copy")
    print(
        f"{accounts} accounts, aliases and quotas; {runs} runs; bare python3 -c pass: "
        f"{bare:.1f} ms, a raw copy of the accounts: {copy:.1f} ms"
    )
    for name, cpu_ms in figures.items():
        print(f"{name:14} {cpu_ms:8.1f} ms  {cpu_ms / bare:6.2f} x  {cpu_ms / copy:6.2f} copies")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 15][len(numbers) :]))
