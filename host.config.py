"""The example's functions, served by `jshost serve host.config.py`. Runs in: Python worker.

The Python ones are here; the JavaScript ones are in example/host.config.js, and one host serves
them all. `make demo` starts it and calls every function.
"""

from __future__ import annotations

import ast
import difflib
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import Any

include = ["example/host.config.js"]

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
MATHEMATICAL_FUNCTIONS = {"sin", "cos", "tan", "exp", "log", "sqrt"}


def differentiate(expression: str, variable: str = "x") -> dict[str, str]:
    """The derivative of a formula, as text and as TeX, by SymPy.

    >>> differentiate("x**3")
    {'text': '3*x**2', 'tex': '3 x^{2}'}
    """
    # Imported by the first call, so that the host is ready before SymPy is.
    import sympy  # type: ignore[import-untyped]

    formula = _formula(ast.parse(expression.strip(), mode="eval").body)
    derivative = sympy.simplify(sympy.diff(formula, sympy.Symbol(variable)))
    return {"text": str(derivative), "tex": sympy.latex(derivative)}


def _formula(node: ast.expr) -> Any:
    """A SymPy expression. Built by hand, as sympy.sympify() would run whatever code is sent."""
    import sympy

    match node:
        case ast.Constant(value=int() | float() as number):
            return sympy.sympify(number)
        case ast.Name(id="pi"):
            return sympy.pi
        case ast.Name(id=name):
            return sympy.Symbol(name)
        case ast.BinOp(left, operation, right) if type(operation) in OPERATORS:
            return OPERATORS[type(operation)](_formula(left), _formula(right))
        case ast.UnaryOp(operation, operand) if type(operation) in OPERATORS:
            return OPERATORS[type(operation)](_formula(operand))
        case ast.Call(ast.Name(id=name), [argument], []) if name in MATHEMATICAL_FUNCTIONS:
            return getattr(sympy, name)(_formula(argument))
    raise ValueError(
        f'"{ast.unparse(node)}" is not understood: write numbers, names, + - * / **, '
        f"and the functions {', '.join(sorted(MATHEMATICAL_FUNCTIONS))}."
    )


def closest(word: str, words: Sequence[str], count: int = 3) -> list[str]:
    """The likeliest meanings of a misspelt word, best first, by the standard library's difflib.

    >>> closest("aple", ["ape", "apple", "peach"])
    ['apple', 'ape']
    """
    return difflib.get_close_matches(word, words, n=count)


async def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, median, standard deviation and quartiles, by the standard library's statistics.

    It is quick and waits for nothing, so `async def` is right: it runs on the worker's event
    loop, without a trip through a thread.
    """
    return {
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "stdev": statistics.stdev(values),
        "quartiles": statistics.quantiles(values, n=4),
    }


functions = {
    "closest": closest,
    "differentiate": differentiate,
    "summary": summary,
}
