"""`python -m tests.fuzz TARGET [OPTION…]`: one target under atheris, until it is stopped or broken.

The options are libFuzzer's: `-max_total_time=600`, `-runs=100000`. What breaks the target is kept
among its cases. A FILE in place of the options is run once.
"""

import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["mailroster"]):
    from tests.fuzz.targets import CASES, TARGETS

from tests.fuzz.chance import LONGEST


def main(name: str, options: list[str]) -> None:
    target = TARGETS[name]
    argv = [
        f"python -m tests.fuzz {name}",
        f"-max_len={LONGEST}",
        "-timeout=20",
        f"-artifact_prefix={CASES / name}/",
        *options,
    ]
    if all(option.startswith("-") for option in options):
        with tempfile.NamedTemporaryFile("w", prefix="mailroster-fuzz-", delete=False) as words:
            words.writelines(f'"{_escaped(word)}"\n' for word in target.words)
        corpus = tempfile.mkdtemp(prefix="mailroster-fuzz-")
        argv += [f"-dict={words.name}", corpus, str(CASES / name)]
    atheris.Setup(argv, target.run)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
    sys.exit(f"{__doc__}\ntargets: {' '.join(TARGETS)}")
main(sys.argv[1], sys.argv[2:])
