"""The judge of the tests with many commands at once is a judge: it acquits and it convicts."""

import pytest

from tests.support.history import Act, Person, explained

ADD = ("email", "add", "a@x.com", "--hash", "1")
ADD_2 = ("email", "add", "a@x.com", "--hash", "2")
UPDATE = ("email", "update", "a@x.com", "--hash", "3")
DELETE = ("email", "del", "-n", "a@x.com")
QUOTA = ("quota", "set", "a@x.com", "1G")


def acts(*some: tuple[tuple[str, ...], float, float, bool]) -> list[Act]:
    return [Act(*one) for one in some]


@pytest.mark.parametrize(
    ("history", "last"),
    (
        (acts(), Person()),
        (acts((ADD, 0, 1, True)), Person("1")),
        (acts((ADD, 0, 2, False), (ADD_2, 1, 3, True)), Person("2")),
        (acts((UPDATE, 0, 9, True), (ADD, 1, 2, True)), Person("3")),
        (acts((ADD, 0, 9, True), (QUOTA, 0, 9, True), (DELETE, 0, 9, True)), Person()),
        (acts((ADD, 0, 1, True), (DELETE, 2, 9, True), (QUOTA, 3, 9, False)), Person()),
    ),
)
def test_a_history_that_some_order_explains(history: list[Act], last: Person) -> None:
    assert explained(history, Person(), last)


@pytest.mark.parametrize(
    ("history", "last"),
    (
        (acts(), Person("1")),
        (acts((ADD, 0, 1, True)), Person()),  # lost
        (acts((ADD, 0, 1, False)), Person()),  # refused for no reason
        (acts((ADD, 0, 3, True), (ADD_2, 1, 4, True)), Person("2")),  # both told that they made it
        (acts((ADD, 0, 1, True), (UPDATE, 2, 3, False)), Person("1")),
        (acts((UPDATE, 0, 1, True), (ADD, 2, 3, True)), Person("3")),  # ended before who made it
        (acts((ADD, 0, 9, True), (QUOTA, 0, 9, True), (DELETE, 0, 9, True)), Person(None, "1G")),
    ),
)
def test_a_history_that_no_order_explains(history: list[Act], last: Person) -> None:
    assert not explained(history, Person(), last)
