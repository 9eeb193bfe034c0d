"""The pages about the codes of findings: docs/reference/checks, installed with the program."""

import os

import mailroster

_HERE = os.path.dirname(mailroster.__file__)
#: The folder in a wheel, and that in a checkout.
_FOLDERS = (
    os.path.join(_HERE, "pages"),
    os.path.join(_HERE, "../../docs/reference/checks"),
)
_INDEX = "README.md"


def codes() -> list[str]:
    """Every code that has a page, sorted."""
    names = os.listdir(_folder())
    return sorted(name[:-3] for name in names if name.endswith(".md") and name != _INDEX)


def page(code: str) -> str:
    """The page of a code, as Markdown; "" if it has none."""
    if code not in codes():
        return ""
    with open(os.path.join(_folder(), f"{code}.md"), encoding="utf-8") as file:
        return file.read()


def summary(text: str) -> str:
    """The first paragraph of a page, on one line."""
    paragraphs = text.split("\n\n")
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""


def _folder() -> str:
    return next((folder for folder in _FOLDERS if os.path.isdir(folder)), _FOLDERS[-1])
