"""Until when something holds: `2026-12-31`, to the end of that day, or `2026-12-31T18:00`.

Local time, to the second where seconds are given (`2026-12-31T18:00:05`). All of it is text that
sorts as the time does, so that nobody needs a clock or a calendar to compare two of them.
"""

from mailroster.base.findings import ParseError

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DATE, _MINUTE, _SECOND = "0000-00-00", "0000-00-00T00:00", "0000-00-00T00:00:00"


def end_of(text: str) -> str:
    """The moment at which an `until` is over, as YYYY-MM-DDThh:mm:ss in local time; that of a day
    is its 24:00:00. Raises ParseError."""
    shape = "".join("0" if char in "0123456789" else char for char in text)
    if shape not in (_DATE, _MINUTE, _SECOND) or not _is_date(text[:10]):
        raise _fault(text, "is no date")
    if shape == _DATE:
        return f"{text}T24:00:00"
    hour, minute, *second = text[11:].split(":")
    if int(hour) > 23 or int(minute) > 59 or any(int(some) > 59 for some in second):
        raise _fault(text, "is no time of a day")
    return text if second else f"{text}:00"


def _is_date(text: str) -> bool:
    year, month, day = (int(part) for part in text.split("-"))
    if not (year and 1 <= month <= 12):
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= _DAYS[month - 1] + (leap and month == 2)


def _fault(text: str, why: str) -> ParseError:
    return ParseError("malformed-until", f"{text!r} {why}", "write 2026-12-31 or 2026-12-31T18:00")
