"""Lines with notes."""


def note(**notes: str) -> str:
    return "".join(f"# mailroster: {word} {text}\n" for word, text in notes.items())
