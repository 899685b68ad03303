"""The report: one self-contained page with the verdicts, the tables and the figures of a run."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from repro.papers import load
from repro.report.cells import ReportTable
from repro.report.page import page
from repro.report.render import to_html
from repro.report.verdicts import Effect, Judgement, Verdict


def report(
    title: str,
    tables: Sequence[ReportTable],
    judgements: Mapping[str, Sequence[Judgement]],
    *,
    figures: Sequence[Path] = (),
    notebooks: Sequence[Path] = (),
    folder: Path,
    missing: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
        title: the heading.
        tables: in the order they are shown.
        judgements: paper id -> its judged claims.
        figures: images to show; they are copied into the page.
        notebooks: executed notebooks to link.
        folder: where the page will lie; links are relative to it.
        missing: why tables are absent, one sentence each.
    """
    sections = [_head(title, tables, judgements)]
    if missing:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in missing)
        sections.append(f'<h2 id="missing">Not there yet</h2>\n<ul>{items}</ul>\n')
    if tables:
        sections.append('<h2 id="tables">Tables</h2>\n')
        sections += [to_html(table) for table in tables]
    for paper, judged in judgements.items():
        sections += [_claims_heading(paper), claims_table(judged)]
    if figures:
        sections.append(_figures(figures, folder))
    if notebooks:
        sections.append(_notebooks(notebooks, folder))
    return page(title, "".join(sections))


def claims_table(judgements: Sequence[Judgement]) -> str:
    """The claims of one paper as a table, one line an effect."""
    bodies = "".join(_claim(judgement) for judgement in judgements)
    return (
        '<figure><div class="scroll"><table class="claims">\n<thead><tr><th>Claim</th>'
        "<th>Verdict</th><th>What was compared</th><th>Expected</th><th>Paper</th><th>Ours</th>"
        f"<th>On what</th></tr></thead>\n{bodies}</table></div></figure>\n"
    )


def badge(verdict: Verdict) -> str:
    """A verdict as a coloured label; the word alone says it all."""
    style = verdict.value.replace(" ", "-")
    return f'<span class="verdict {style}">{verdict.value}</span>'


def _head(
    title: str, tables: Sequence[ReportTable], judgements: Mapping[str, Sequence[Judgement]]
) -> str:
    counts = Counter(j.verdict for judged in judgements.values() for j in judged)
    tally = "".join(
        f"<li>{badge(verdict)} {counts[verdict]}</li>"
        for verdict in reversed(Verdict)
        if counts[verdict]
    )
    links = "".join(f'<a href="#{t.id}">{escape(t.title)}</a>' for t in tables)
    links += "".join(f'<a href="#claims-{paper}">Claims, {paper}</a>' for paper in judgements)
    return (
        f"<h1>{escape(title)}</h1>\n"
        '<p class="lead">Every figure below was written by a stage of the pipeline or is printed '
        f'in a paper.</p>\n<ul class="tally">{tally}</ul>\n'
        f"<nav>{links}</nav>\n"
    )


def _claims_heading(paper: str) -> str:
    return (
        f'<h2 id="claims-{paper}">Claims of “{escape(load(paper).title)}”</h2>\n'
        '<p class="lead">A verdict is computed from intervals: <i>reproduced</i> if ours has the '
        "claimed sign and covers the claimed size, <i>direction only</i> if it has the sign, "
        "<i>inconclusive</i> if it spans zero, <i>not reproduced</i> if it excludes the sign. "
        "A claim of several parts is as good as its weakest. The last column says what was run: on "
        "a small stand-in for the paper's data, a verdict is about the stand-in.</p>\n"
    )


def _claim(judgement: Judgement) -> str:
    effects, claim = judgement.effects, judgement.claim
    span = f' rowspan="{max(len(effects), 1)}"'
    start = (
        f'<th{span} scope="rowgroup" id="{claim.id}">{claim.id}. {escape(claim.text)}</th>'
        f"<td{span}>{badge(judgement.verdict)}</td>"
    )
    if not effects:
        why = f'<td colspan="5" class="why">{escape(judgement.why)}</td>'
        return f"<tbody><tr>{start}{why}</tr></tbody>\n"
    grounds = [effect.basis or effect.reason for effect in effects]
    shared = len(set(grounds)) == 1  # then it is said once
    rows = []
    for position, effect in enumerate(effects):
        first = position == 0
        line = f"{start if first else ''}{_effect(effect, alone=len(effects) == 1)}"
        if first or not shared:
            line += f'<td{span if shared else ""} class="why">{escape(grounds[position])}</td>'
        rows.append(f"<tr>{line}</tr>")
    return f"<tbody>{''.join(rows)}</tbody>\n"


def _effect(effect: Effect, *, alone: bool) -> str:
    paper = "–" if effect.paper is None else f"{effect.paper:.4g}"
    verdict = "" if alone else f'<br><span class="part">{badge(effect.verdict)}</span>'
    return (
        f"<td>{escape(effect.name)}{verdict}</td>"
        f'<td data-label="expected">{escape(str(effect.expected))}</td>'
        f'<td class="number" data-label="paper">{paper}</td>'
        f'<td class="number" data-label="ours">{_measured(effect)}</td>'
    )


def _measured(effect: Effect) -> str:
    if effect.ours is None:
        return "–"
    figure, _, interval = effect.ours.brief().partition(" ")
    return f'{figure} <span class="interval">{escape(interval)}</span>' if interval else figure


def _figures(figures: Sequence[Path], folder: Path) -> str:
    drawn = []
    for path in figures:
        kind = "svg+xml" if path.suffix == ".svg" else path.suffix.removeprefix(".")
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        caption = escape(path.stem.replace("_", " "))
        source = escape(os.path.relpath(path, folder))
        drawn.append(
            f'<figure><img alt="{caption}" src="data:image/{kind};base64,{data}">'
            f'<figcaption>{caption} <span class="why">({source})</span></figcaption></figure>\n'
        )
    return f'<h2 id="figures">Figures</h2>\n<div class="plots">\n{"".join(drawn)}</div>\n'


def _notebooks(notebooks: Sequence[Path], folder: Path) -> str:
    links = "".join(
        f'<li><a href="{escape(os.path.relpath(path, folder))}">{escape(path.stem)}</a></li>'
        for path in notebooks
    )
    return (
        '<h2 id="notebooks">Executed notebooks</h2>\n<p class="lead">How each result came about, '
        f"with every output.</p>\n<ul>{links}</ul>\n"
    )
