"""Generates mutants of a module: small mistakes of a programmer, for script/mutants.py."""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

_OTHER: dict[type[ast.AST], list[Any]] = {
    ast.Eq: [ast.NotEq()], ast.NotEq: [ast.Eq()], ast.Is: [ast.IsNot()], ast.IsNot: [ast.Is()],
    ast.In: [ast.NotIn()], ast.NotIn: [ast.In()], ast.Lt: [ast.GtE(), ast.LtE()],
    ast.LtE: [ast.Gt(), ast.Lt()], ast.Gt: [ast.LtE(), ast.GtE()], ast.GtE: [ast.Lt(), ast.Gt()],
    ast.And: [ast.Or()], ast.Or: [ast.And()], ast.Add: [ast.Sub()], ast.Sub: [ast.Add()],
}  # fmt: skip
_LEFT_OUT = (ast.Expr, ast.Raise, ast.Continue, ast.Break, ast.AugAssign, ast.Delete)


class Mutant(NamedTuple):
    line: int
    function: int  # the first line of the function around it, a decorator's if there is one; or 0
    hunk: str  # the previous line as context, then the changed lines as in a diff
    text: str  # of the whole module


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module's text, in the order of their places."""
    lines = source.splitlines(keepends=True)
    for node, function in _nodes(ast.parse(source), 0):
        for first, last, new in _changes(node):
            start, end = first.lineno - 1, last.end_lineno
            column = first.col_offset - (first in getattr(node, "decorator_list", ()))  # its @
            before = lines[start].encode()[:column].decode()
            after = lines[end - 1].encode()[last.end_col_offset :].decode()
            mutated = f"{before}{new}{after}"
            text = "".join([*lines[:start], mutated, *lines[end:]])
            parts = (
                ("  ", lines[max(0, start - 1) : start]),
                ("- ", lines[start:end]),
                ("+ ", mutated),
            )
            hunk = "\n".join(sign + " ".join("".join(part).split()) for sign, part in parts)
            if text != source:
                yield Mutant(first.lineno, function, hunk, text)


def _nodes(node: Any, function: int) -> Iterator[tuple[Any, int]]:
    """Every node except annotations, docstrings, and the parts of f-strings and `raise`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = min(part.lineno for part in (node, *node.decorator_list))
    yield node, function
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            is_annotation = name in ("annotation", "returns")
            if isinstance(child, ast.AST) and not (is_docstring or is_annotation):
                yield from _nodes(child, function)


def _changes(node: Any) -> Iterator[tuple[Any, Any, str]]:
    """Replacements: the first and the last node of the old text, and the new text."""
    for value in _values(node):
        yield node, node, f"({ast.unparse(value)})"
    for decorator in getattr(node, "decorator_list", ()):
        yield decorator, decorator, ""
    match node:
        case ast.Slice():
            for bound in filter(None, (node.lower, node.upper)):
                yield bound, bound, ast.unparse(ast.BinOp(bound, ast.Add(), ast.Constant(1)))
        case ast.Call(args=[one, two, *_]):
            if not isinstance(one, ast.Starred) and not isinstance(two, ast.Starred):
                yield one, two, f"{ast.unparse(two)}, {ast.unparse(one)}"
        case ast.Return(value=ast.expr()):
            yield node, node, "return None"
        case ast.If() if len(node.body) > 1 or not isinstance(node.body[0], _LEFT_OUT):
            yield node.body[0], node.body[-1], "pass"
        case _ if isinstance(node, _LEFT_OUT):
            yield node, node, "pass"


def _values(node: Any) -> list[Any]:
    """Expressions that replace one."""
    match node:
        case ast.Compare(ops=[op]):
            return [ast.Compare(node.left, [op], node.comparators) for op in _OTHER[type(op)]]
        case ast.BoolOp(op=op, values=values):
            rests = [values[:n] + values[n + 1 :] for n in range(len(values))]
            fewer = [ast.BoolOp(op, rest) if len(rest) > 1 else rest[0] for rest in rests]
            return [ast.BoolOp(_OTHER[type(op)][0], values), *fewer]
        case ast.UnaryOp(op=ast.Not()):
            return [node.operand]
        case ast.IfExp():
            return [ast.IfExp(node.test, node.orelse, node.body)]
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return [ast.BinOp(node.left, _OTHER[type(node.op)][0], node.right)]
        case ast.Constant(value=bool(value)):
            return [ast.Constant(not value)]
        case ast.Constant(value=int(value)):
            return [ast.Constant(value + 1)]
        case ast.Constant(value=str(value)) if len(value.split()) < 2:
            return [ast.Constant("XX" + value)]
        case ast.Constant(value=bytes(value)) if len(value.split()) < 2:
            return [ast.Constant(b"XX" + value)]
    return []
