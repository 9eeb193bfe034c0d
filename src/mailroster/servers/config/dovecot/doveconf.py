"""The output of doveconf(1), of both versions of Dovecot. Pure."""

from collections.abc import Iterator

#: The names of the blocks around a setting and its own name; its value, or None for a block.
Printed = tuple[tuple[str, ...], str | None]


def printed(text: str) -> Iterator[Printed]:
    """The blocks and settings in the order of the text, without comments. `protocol imap {` is the
    block `protocol imap`, `name = value` a setting."""
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
