"""What doveconf(1) prints, as both versions of Dovecot write it. Pure."""

from collections.abc import Iterator

#: The names of the blocks around a setting, and its own; the value, None for a block itself.
Printed = tuple[tuple[str, ...], str | None]


def printed(text: str) -> Iterator[Printed]:
    """The blocks and settings in the order of the text: `protocol imap {` is the block
    `protocol imap`, `name = value` a setting. Comments are left out."""
    blocks: list[str] = []
    for line in map(str.strip, text.split("\n")):
        name, equals, value = line.partition(" =")
        if line.startswith("#"):
            continue
        if line.endswith("{"):
            blocks.append(line[:-1].strip())
            yield tuple(blocks), None
        elif line == "}":
            del blocks[-1:]
        elif equals:
            yield (*blocks, name), value.strip()
