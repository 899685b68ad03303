"""Evaluate the formulas that Table 1 of DDF prints, such as `c k^2 + sigma c^2 (1 + k^2)`.

The printed text itself is evaluated, so that no formula is typed a second time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\s*([A-Za-z]+|\d+|[()^+])")


class FormulaError(ValueError):
    """The text is not a sum of products of symbols, numbers, powers and brackets."""


def evaluate(formula: str, **symbols: float) -> float:
    """The value of a printed formula; `O(...)` counts as its argument, without a constant.

    Args:
        formula: sums of products; a product is written by juxtaposition, a power with `^`.
        **symbols: the value of each symbol.
    Raises:
        FormulaError: a symbol has no value, or the text does not parse.
    """
    tokens = _tokens(formula)
    if tokens[:2] == ["O", "("]:
        tokens = tokens[1:]
    value = _Reader(tokens, symbols, formula).sum()
    if tokens:
        raise FormulaError(f"cannot read {' '.join(tokens)!r} at the end of {formula!r}")
    return value


def _tokens(formula: str) -> list[str]:
    tokens, position = [], 0
    text = formula.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise FormulaError(f"cannot read {text[position:]!r} in {formula!r}")
        tokens.append(found.group(1))
        position = found.end()
    return tokens


class _Reader:
    """Recursive descent over `tokens`, which it consumes: sum of products of powers."""

    def __init__(self, tokens: list[str], symbols: Mapping[str, float], formula: str) -> None:
        self.tokens, self.symbols, self.formula = tokens, symbols, formula

    def sum(self) -> float:
        total = self.product()
        while self.tokens[:1] == ["+"]:
            self.tokens.pop(0)
            total += self.product()
        return total

    def product(self) -> float:
        value = self.power()
        while self.tokens and self.tokens[0] not in {"+", ")"}:
            value *= self.power()
        return value

    def power(self) -> float:
        base = self.atom()
        if self.tokens[:1] != ["^"]:
            return base
        self.tokens.pop(0)
        return float(base ** self.atom())

    def atom(self) -> float:
        if not self.tokens:
            raise FormulaError(f"{self.formula!r} ends too early")
        token = self.tokens.pop(0)
        if token == "(":
            value = self.sum()
            if self.tokens[:1] != [")"]:
                raise FormulaError(f"a bracket of {self.formula!r} is not closed")
            self.tokens.pop(0)
            return value
        if token.isdigit():
            return float(token)
        if token not in self.symbols:
            known = ", ".join(sorted(self.symbols))
            raise FormulaError(f"{self.formula!r} has no value for {token!r}; given: {known}")
        return float(self.symbols[token])
