"""Laws of custom-commands.conf, the file with commands for Rspamd."""

from hypothesis import given
from hypothesis import strategies as st

from mailroster.servers.config import rspamd

_WORDS = st.sampled_from(
    [
        "enable-module", "disable-module", "set-option-for-module", "set-option-for-controller",
        "set-option-for-proxy", "set-common-option", "add-line", "multimap", "dkim_signing",
        "dkim_signing.conf", "a.conf", "../a", "a/b", ".", "x", "=", "{", ";", "#", "\\1", "\x00",
        "\x1b", "\r", "é", "\udc80",
    ]
)  # fmt: skip
_LINES = st.lists(st.lists(_WORDS, max_size=5).map(" ".join), max_size=6)
_FILES = st.dictionaries(
    st.sampled_from(["multimap.conf", "a.conf", "options.inc"]),
    st.sampled_from(["", "x = 1;", "x = 1;\n  x=2\n", "enabled = true;\n", "x { y = 1 }"]),
)


@given(_FILES, st.one_of(_LINES.map("\n".join), st.text()))
def test_each_line_is_a_command_a_comment_or_a_finding(files: dict[str, str], text: str) -> None:
    """No text raises an error, or names a file that is not one of override.d."""
    changed, findings = rspamd.with_commands(files, text)
    assert all(map(rspamd.is_override, changed))
    numbers = [finding.where.line for finding in findings]
    assert numbers == sorted({*numbers})
    assert all(0 < number <= text.count("\n") + 1 for number in numbers)
    lines = [line.strip(" \t") for line in text.replace("\r\n", "\n").split("\n")]
    commands = [line for line in lines if line and not line.startswith("#")]
    if not commands:
        assert (changed, findings) == (files, [])
    assert len(findings) <= len(commands)


@given(_FILES, _LINES)
def test_commands_that_set_options_are_the_same_twice(
    files: dict[str, str], lines: list[str]
) -> None:
    text = "\n".join(line for line in lines if not line.startswith("add-line"))
    once, _ = rspamd.with_commands(files, text)
    assert rspamd.with_commands(once, text)[0] == once
