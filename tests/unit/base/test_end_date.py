"""Moments: what is one, and when it is over."""

import pytest

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError


@pytest.mark.parametrize(
    ("text", "end"),
    [
        pytest.param("2026-12-31", "2026-12-31T24:00:00", id="a day lasts to its end"),
        pytest.param("2026-12-31T18:00", "2026-12-31T18:00:00", id="a minute"),
        pytest.param("2026-12-31T18:00:05", "2026-12-31T18:00:05", id="a second"),
        pytest.param("2028-02-29", "2028-02-29T24:00:00", id="a leap day"),
        pytest.param("2000-02-29", "2000-02-29T24:00:00", id="a leap day of a century"),
    ],
)
def test_a_moment_is_over_at_its_end(text: str, end: str) -> None:
    assert end_of(text) == end


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "2026-13-01", "2026-00-10", "2026-02-29", "2100-02-29", "2026-04-31",
        "2026-12-00", "0000-01-01", "26-12-31", "2026-12-31 18:00", "2026-12-31T24:00",
        "2026-12-31T18:60", "2026-12-31T18:00:60", "2026-12-31T18", "2026-12-31T18:00Z",
        "31.12.2026", "2026/12/31", "٢٠٢٦-12-31", "²026-12-31", "2026-12-31T18:00:05.5", "7d",
    ],
)  # fmt: skip
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        end_of(text)
    assert caught.value.code == "malformed-until"


def test_a_day_is_over_when_the_next_begins() -> None:
    assert "2026-12-31T23:59:59" < end_of("2026-12-31") <= "2027-01-01T00:00:00"
