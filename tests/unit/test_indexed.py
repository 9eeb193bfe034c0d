"""What a document over an index costs: a question is not answered by reading every line."""

from mailroster.formats.virtual import VIRTUAL, Alias, Virtual
from mailroster.indexed import Indexed
from mailroster.splices import Splice
from tests.laws.test_indexed import PlainBase


class Counting(Virtual):
    """Counts the lines that are read."""

    read = 0

    def parse(self, line: str) -> Alias:
        self.read += 1
        return super().parse(line)


def test_many_questions_about_many_new_lines_read_each_of_them_once_and_a_few_again() -> None:
    format = Counting()
    text = "".join(f"alias{n}@x.com user{n}@x.com\n" for n in range(2000))
    document = Indexed(format, PlainBase(VIRTUAL, b""), [Splice(0, 0, text)])
    for n in range(500):
        assert [key for key, _ in document.mentioning(f"user{n}", "x.com")] == [f"alias{n}@x.com"]
    assert format.read <= 2000 + 3 * 500


def test_one_question_about_a_few_new_lines_reads_those() -> None:
    format = Counting()
    document = Indexed(format, PlainBase(VIRTUAL, b""), [Splice(0, 0, "a@x.com b@x.com\n")])
    assert [key for key, _ in document.mentioning("b", "x.com")] == ["a@x.com"]
    assert format.read <= 4
