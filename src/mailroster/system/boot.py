"""The ID of the current boot of the machine (random(4))."""

_PATH = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """A random ID that changes with each boot; "" where the kernel shows none."""
    try:
        with open(_PATH, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
