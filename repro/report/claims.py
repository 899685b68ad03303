"""Judge the claims of a paper by a results tree; the tests themselves lie in `claim_tests`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from repro.papers import Claim, Paper, Value, load
from repro.report.claim_tests import TESTS
from repro.report.evidence import Evidence
from repro.report.results import Results
from repro.report.verdicts import Effect, Judgement


def judge_all(paper_id: str, results: Results) -> list[Judgement]:
    """Every claim of a paper with its verdict, in the order of the fact sheet."""
    paper = load(paper_id)
    return [judge(paper, claim, results) for claim in paper.claims]


def judge(paper: Paper, claim: Claim, results: Results) -> Judgement:
    """One claim with its verdict; a claim without a test says what it would need."""
    test = TESTS.get(f"{paper.id}.{claim.id}")
    if test is None:
        return Judgement(claim, (), _untested(paper, claim))
    return Judgement(claim, tuple(test(Evidence(paper, claim, results))))


def tested_papers() -> tuple[str, ...]:
    """Papers of which at least one claim has a test."""
    return tuple(sorted({address.split(".")[0] for address in TESTS}))


def lines(judgements: Iterable[Judgement]) -> list[dict[str, Value]]:
    """One entry an effect, with the verdict of its claim; an untested claim has one entry too."""
    entries: list[dict[str, Value]] = []
    for judgement in judgements:
        claim = judgement.claim
        start: dict[str, Value] = {"claim": claim.id, "verdict": judgement.verdict.value}
        end: dict[str, Value] = {"text": claim.text}
        for effect in judgement.effects:
            entries.append({**start, **_described(effect), "why_not": effect.reason, **end})
        if not judgement.effects:
            entries.append({**start, **dict.fromkeys(_FIELDS), "why_not": judgement.why, **end})
    return entries


def to_csv(judgements: Iterable[Judgement]) -> str:
    """`lines` as CSV; the bytes depend on the content alone."""
    entries = lines(judgements)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(entries[0]) if entries else [], lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        writer.writerow(
            {key: f"{x:.6g}" if isinstance(x, float) else x for key, x in entry.items()}
        )
    return buffer.getvalue()


def to_markdown(judgements: Iterable[Judgement]) -> str:
    """One line a claim: the verdict, ours beside the paper's figure, and what ours rests on."""
    rows = ["| Claim | Verdict | Ours (paper) | On what |", "| --- | --- | --- | --- |"]
    for judgement in judgements:
        claim, effects = judgement.claim, judgement.effects
        figures = "; ".join(_in_words(effect) for effect in effects) or judgement.why
        bases = "; ".join(dict.fromkeys(effect.basis for effect in effects if effect.basis))
        line = [f"{claim.id}. {claim.text}", f"**{judgement.verdict}**", figures, bases]
        rows.append(f"| {' | '.join(line)} |")
    return "\n".join(rows) + "\n"


_FIELDS = (
    "effect",
    "effect_verdict",
    "expected",
    "paper",
    "ours",
    "ours_low",
    "ours_high",
    "runs",
    "basis",
)


def _described(effect: Effect) -> dict[str, Value]:
    ours = effect.ours
    figures = (ours.value, ours.low, ours.high, ours.n) if ours else (None,) * 4
    start = (effect.name, effect.verdict.value, str(effect.expected), effect.paper)
    return dict(zip(_FIELDS, (*start, *figures, effect.basis), strict=True))


def _in_words(effect: Effect) -> str:
    """An effect in one breath: "top-1, DDF − base: 1.93 [1.55, 2.31] (1.9)"."""
    if effect.ours is None:
        return f"{effect.name}: {effect.reason}"
    paper = "" if effect.paper is None else f" ({effect.paper:.4g})"
    return f"{effect.name}: {effect.ours.brief()}{paper}"


# What a claim without a test still needs; the first ground that is listed here explains it.
_NEEDS = {
    "ddf.supp_tricks": "the recipe behind the printed figure is not published",
}


def _untested(paper: Paper, claim: Claim) -> str:
    grounds = [f"{paper.id}.{ground}" for ground in claim.rests_on]
    needed = [_NEEDS[ground] for ground in grounds if ground in _NEEDS]
    return needed[0] if needed else f"no test of it yet; it rests on {', '.join(claim.rests_on)}"
