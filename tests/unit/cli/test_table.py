"""Columns on a terminal, whatever the letters and the width."""

import pytest

from mailroster.cli.table import cells_of, print_table, table

HEADINGS = ("ADDRESS", "ALIASES")


def test_columns_are_aligned() -> None:
    rows = [("a@x.com", "one"), ("longer@x.com", "")]
    assert table(HEADINGS, rows, 80) == [
        "ADDRESS       ALIASES", "a@x.com       one", "longer@x.com",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("abc", 3),
        ("日本", 4),
        ("\uff46", 2),
        ("e\u0301", 1),
        ("é", 1),
        ("\u200d", 0),
        ("한글@x", 6),
    ],
)
def test_wide_letters_take_two_cells_and_combining_marks_none(text: str, cells: int) -> None:
    assert cells_of(text) == cells


@pytest.mark.parametrize("width", [20, 30, 40, 60, 200])
def test_a_table_fits_the_terminal(width: int) -> None:
    rows = [("日本語" * 5, "x" * 50), ("a@x.com", "本" * 9)]
    lines = table(HEADINGS, rows, width)
    assert max(map(cells_of, lines)) <= width
    assert any("…" in line for line in lines) == (width < 82)


def test_the_widest_column_gives_way_first() -> None:
    assert table(("A", "B"), [("short", "x" * 100)], 30)[1] == f"short  {'x' * 22}…"


def test_a_column_with_nothing_in_it_is_left_out_and_no_rows_are_no_table() -> None:
    assert table(("A", "B", "C"), [("a", "", "c")], 80) == ["A  C", "a  c"]
    assert table(("A", "B"), [], 80) == []


def test_what_a_terminal_would_obey_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert table(("A",), [("\x1b[31mred\n",)], 80)[1] == "\\x1b[31mred\\n"
    print_table(("A", "B"), [("tab\tin", "b"), ("", "c")])
    assert capsys.readouterr().out == "tab\\tin\tb\n\tc\n"
