"""Turn measured effects into verdicts. A verdict is computed, never written.

A claim says either on which side of a value an effect lies, and perhaps how large it is
(`Direction`), or that a quantity lies in a range (`Within`). What was measured is an interval;
counted quantities are intervals of no width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from repro.papers import Claim
from repro.report.cells import Measured


class Verdict(StrEnum):
    """What can be said of a claim, from the weakest to the strongest outcome."""

    NOT_REPRODUCED = "not reproduced"
    NOT_TESTED = "not tested"
    INCONCLUSIVE = "inconclusive"
    DIRECTION_ONLY = "direction only"
    REPRODUCED = "reproduced"


@dataclass(frozen=True)
class Direction:
    """The effect lies above (or below) `null`; the paper puts it between `size`'s two ends.

    The ends differ where the size follows from rounded figures; `size` is None where the paper
    gives none, and then the side is the whole claim. Where ours is in another unit than the paper's
    (`same_unit`), the size cannot come back: at best the direction does.
    """

    above: bool
    size: tuple[float, float] | None = None
    null: float = 0.0
    same_unit: bool = True

    def judge(self, low: float, high: float) -> Verdict:
        if not self.above:
            mirrored = None if self.size is None else (-self.size[1], -self.size[0])
            return Direction(True, mirrored, -self.null, self.same_unit).judge(-high, -low)
        if high < self.null or low == high == self.null:
            return Verdict.NOT_REPRODUCED
        if low <= self.null:
            return Verdict.INCONCLUSIVE
        if self.size is None:
            return Verdict.REPRODUCED
        if self.same_unit and low <= self.size[1] and high >= self.size[0]:
            return Verdict.REPRODUCED
        return Verdict.DIRECTION_ONLY

    def __str__(self) -> str:
        side = "above" if self.above else "below"
        return f"{side} {self.null:g}"


@dataclass(frozen=True)
class Within:
    """The quantity lies between `low` and `high`; there is no direction to get right alone."""

    low: float = -math.inf
    high: float = math.inf

    def judge(self, low: float, high: float) -> Verdict:
        if high < self.low or low > self.high:
            return Verdict.NOT_REPRODUCED
        if low >= self.low and high <= self.high:
            return Verdict.REPRODUCED
        return Verdict.INCONCLUSIVE

    def __str__(self) -> str:
        if self.low == 0 and self.high < 1e-6:  # equal, but for rounding
            return "0"
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        if self.high == math.inf:
            return f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Effect:
    """One measurable part of a claim.

    Attributes:
        name: what is compared, in words.
        expected: what the claim says about it.
        paper: its size as the paper prints it, or None.
        ours: what we measured; None when we did not, and then `reason` says why.
        basis: what ours was measured on.
    """

    name: str
    expected: Direction | Within
    paper: float | None = None
    ours: Measured | None = None
    basis: str = ""
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict on this part."""
        if self.ours is None:
            return Verdict.NOT_TESTED
        low, high = self.ours.low, self.ours.high
        if low is None or high is None:  # one run: nothing says how far chance reaches
            return Verdict.INCONCLUSIVE
        if low == high and not self.ours.exact:  # runs that all say the same do not say it either
            return Verdict.INCONCLUSIVE
        return self.expected.judge(low, high)


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict and the parts it follows from."""

    claim: Claim
    effects: tuple[Effect, ...]
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """The weakest verdict of the parts: a claim holds only if all of it does."""
        return weakest(effect.verdict for effect in self.effects)

    @property
    def why(self) -> str:
        """Why it was not tested, or an empty string."""
        reasons = [effect.reason for effect in self.effects if effect.reason]
        return "; ".join(dict.fromkeys([self.reason, *reasons])).strip("; ")


def weakest(verdicts: Iterable[Verdict]) -> Verdict:
    """The weakest of several verdicts; without any, the claim was not tested."""
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.NOT_TESTED)


def point(size: float | None) -> tuple[float, float] | None:
    """A claimed size as an interval of no width."""
    return None if size is None else (size, size)


def rounding(printed: float) -> tuple[float, float]:
    """All values that round to a printed figure: 16.8 stands for 16.75 to 16.85."""
    text = f"{printed}"
    decimals = len(text.partition(".")[2]) if "." in text else 0
    half = 0.5 * 10.0**-decimals
    return printed - half, printed + half


def quotient(numerator: float, denominator: float) -> tuple[float, float]:
    """All values of a quotient of two positive printed figures."""
    (low, high), (low_below, high_below) = rounding(numerator), rounding(denominator)
    return low / high_below, high / low_below
