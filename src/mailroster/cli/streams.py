"""Standard output and standard error of a command.

If the results can't be written (a full disk, a closed descriptor), the command ends with one line
on standard error. Messages that can't be written are dropped; they never stop a command.
"""

import errno
import io
import os
import sys
from typing import Any

#: The file name in an OSError of standard output.
OUTPUT = "standard output"
_NAMES = ("setup", "mailroster")


def program_name() -> str:
    """The name by which the program was called, setup or mailroster; setup for any other name."""
    name = os.path.basename(sys.argv[0])
    return name if name in _NAMES else _NAMES[0]


def warn(text: str) -> None:
    """Prints a message on standard error, behind the name of the program."""
    print(f"{program_name()}: {text}", file=sys.stderr)


def protect() -> None:
    """Replaces `sys.stdout` and `sys.stderr`, for a command that is a process of its own."""
    # Python sets None for a closed descriptor, and print(file=None) writes to standard output.
    sys.stdout = output(sys.stdout)
    sys.stderr = messages(sys.stderr)


def output(stream: Any) -> io.TextIOWrapper:
    """A text stream to the descriptor of `stream`, which is None if closed. Writes raise OSError
    with the file name OUTPUT."""
    raw = _Closed() if stream is None else _Output(stream.fileno(), "w", closefd=False)
    return _text(raw, stream)


def messages(stream: Any) -> io.TextIOWrapper:
    """The same for messages: text that can't be written is dropped."""
    raw = _Dropped() if stream is None else _Messages(stream.fileno(), "w", closefd=False)
    return _text(raw, stream, lines=True)


def flush() -> None:
    """Writes the buffered results. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _text(raw: io.RawIOBase, stream: Any, *, lines: bool = False) -> io.TextIOWrapper:
    encoding = "utf-8" if stream is None else stream.encoding
    lines = lines or (stream is not None and stream.line_buffering)
    unbuffered = stream is not None and stream.write_through  # PYTHONUNBUFFERED
    buffer: Any = raw if unbuffered else io.BufferedWriter(raw)
    # backslashreplace: the locale may lack a letter.
    return io.TextIOWrapper(
        buffer, encoding, "backslashreplace", line_buffering=lines, write_through=unbuffered
    )


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = OUTPUT
            raise


class _Messages(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


class _Closed(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), OUTPUT)


class _Dropped(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)
