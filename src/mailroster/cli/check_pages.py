"""The pages about the codes of findings, installed with the program: docs/reference/checks, and
docs/reference/dns for those of `setup dns --check`."""

import os

import mailroster

_HERE = os.path.dirname(mailroster.__file__)
#: The kinds of pages: for each the folder in a wheel, and that in a checkout.
CHECKS, DNS = "checks", "dns"
_FOLDERS = {
    CHECKS: (os.path.join(_HERE, "pages"), os.path.join(_HERE, "../../docs/reference/checks")),
    DNS: (os.path.join(_HERE, "pages/dns"), os.path.join(_HERE, "../../docs/reference/dns")),
}
_INDEX = "README.md"


def codes(kind: str = CHECKS) -> list[str]:
    """Every code that has a page, sorted."""
    names = os.listdir(_folder(kind))
    return sorted(name[:-3] for name in names if name.endswith(".md") and name != _INDEX)


def page(code: str, kind: str = CHECKS) -> str:
    """The page of a code, as Markdown; "" if it has none."""
    if code not in codes(kind):
        return ""
    with open(os.path.join(_folder(kind), f"{code}.md"), encoding="utf-8") as file:
        return file.read()


def summary(text: str) -> str:
    """The first paragraph of a page, on one line."""
    paragraphs = text.split("\n\n")
    return " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""


def _folder(kind: str) -> str:
    folders = _FOLDERS[kind]
    return next((folder for folder in folders if os.path.isdir(folder)), folders[-1])
