"""What `mailroster up` costs while nothing happens: `python -m benchmarks.idle [SECONDS]`."""

import os
import sys
import time
from pathlib import Path

from tests.support.instance import Instance

from benchmarks.folder import write_config

ACCOUNTS = 1000


def cpu_s(pid: int) -> float:
    """User and system time of a process so far (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(seconds: int) -> None:
    instance = Instance()
    try:
        write_config(instance.config, ACCOUNTS)
        instance.start()
        assert instance.up is not None
        pid = instance.up.pid
        time.sleep(3)
        before = cpu_s(pid)
        time.sleep(seconds)
        used = cpu_s(pid) - before
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)
        print(
            f"idle for {seconds} s with {ACCOUNTS} accounts: {100 * used / seconds:.2f} % of a "
            f"core, {int(resident) / 1024:.0f} MB resident"
        )
    finally:
        instance.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
