"""End dates: `2026-12-31` (the end of that day), `2026-12-31T18:00` or `2026-12-31T18:00:05`.

They are local time, and text that sorts by time: comparing two of them needs no clock or calendar.
"""

from mailroster.base.findings import ParseError

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DATE, _MINUTE, _SECOND = "0000-00-00", "0000-00-00T00:00", "0000-00-00T00:00:00"


def end_of(text: str) -> str:
    """The time at which an end date expires, as YYYY-MM-DDThh:mm:ss in local time; for a day it is
    24:00:00. Raises ParseError."""
    shape = "".join("0" if char in "0123456789" else char for char in text)
    if shape not in (_DATE, _MINUTE, _SECOND) or not _is_date(text[:10]):
        raise _error(text, "is not a date")
    if shape == _DATE:
        return f"{text}T24:00:00"
    hour, minute, *second = text[11:].split(":")
    if int(hour) > 23 or int(minute) > 59 or any(int(number) > 59 for number in second):
        raise _error(text, "is not a time of day")
    return text if second else f"{text}:00"


def _is_date(text: str) -> bool:
    year, month, day = (int(part) for part in text.split("-"))
    if not (year and 1 <= month <= 12):
        return False
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = 29 if is_leap and month == 2 else _DAYS[month - 1]
    return 1 <= day <= days


def _error(text: str, why: str) -> ParseError:
    return ParseError("malformed-until", f"{text!r} {why}", "write 2026-12-31 or 2026-12-31T18:00")
