"""Write a table as CSV, as Markdown and as HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

from repro.papers import Value
from repro.report.cells import Cell, Measured, ReportTable, TableColumn, TableRow
from repro.report.page import page

_DASH = "–"


def to_csv(table: ReportTable) -> str:
    """One line a row: for each column the paper's figure, ours, its interval, its distance."""
    header = ["row", "name", "system"]
    for position, column in enumerate(table.columns):
        header += [
            f"{column.side_id(name.partition('_')[0])}_{name}"
            for name in _csv_fields(table, position)
        ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        line = [row.id, row.name, row.system]
        for position, cell in enumerate(row.cells):
            fields = _csv_fields(table, position)
            line += [_plain(_csv_value(cell, name)) for name in fields]
        writer.writerow(line)
    return buffer.getvalue()


def to_markdown(table: ReportTable) -> str:
    """A title, the table with one column a figure, and the notes as a list."""
    header = ["Row"]
    for position, column in enumerate(table.columns):
        sides = table.sides(position)
        header += [_flat_heading(column, side, sides) for side in sides]
    lines = [f"**{table.title}.** {table.caption}", "", _line(header)]
    lines.append(_line(["---", *("---:" for _ in header[1:])]))
    for row in table.rows:
        words = [row.name]
        for position in range(len(row.cells)):
            words += [written(table, row, position, side) for side in table.sides(position)]
        lines.append(_line(words))
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def to_html(table: ReportTable) -> str:
    """A `<figure>` with a two-line heading: the quantity, and below it whose figure it is."""
    first, second = ['<th rowspan="2" scope="col">Row</th>'], []
    for position, column in enumerate(table.columns):
        sides = table.sides(position)
        heading = escape(column.heading(sides))
        if len(sides) == 1:
            first.append(f'<th rowspan="2" scope="col" class="group">{heading}</th>')
            continue
        first.append(f'<th colspan="{len(sides)}" scope="colgroup" class="group">{heading}</th>')
        for side in sides:
            name = escape(column.side(side, sides))
            second.append(f'<th scope="col" class="{_classes(side, sides)}">{name}</th>')
    body = "\n".join(_html_row(table, index) for index in range(len(table.rows)))
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f'<figure class="table" id="{escape(table.id)}">\n'
        f"<figcaption><b>{escape(table.title)}.</b> {escape(table.caption)}</figcaption>\n"
        f'<div class="scroll"><table>\n<thead>\n<tr>{"".join(first)}</tr>\n'
        f"<tr>{''.join(second)}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n"
        f'<ul class="notes">{notes}</ul>\n</figure>\n'
    )


def to_page(table: ReportTable) -> str:
    """The table as a page of its own."""
    return page(table.title, to_html(table))


def written(table: ReportTable, row: TableRow, position: int, side: str) -> str:
    """One side of a cell as text: "79.1", "74.2 [73.0, 75.4]", "16.844 (+0.3 %)"."""
    cell, column = row.cells[position], table.columns[position]
    compared_with_itself = row.base and column.signed
    if side == "paper":
        if cell.paper is None and compared_with_itself:
            return "base"
        return _printed(cell.paper, column, table.printed_digits(position))
    measured = cell.ours if side == "ours" else cell.published
    if measured is None:
        return "base" if compared_with_itself else _DASH
    text = _number(measured.value, column)
    if column.relative and side == "ours" and cell.relative is not None:
        distance = dict.fromkeys([_percent(cell.relative), measured.verdict or ""])
        text += f" ({', '.join(filter(None, distance))})"
    interval = _interval(measured, column)
    return f"{text} {interval}" if interval else text


def _html_row(table: ReportTable, index: int) -> str:
    row = table.rows[index]
    words = [f'<th scope="row">{escape(row.name)}</th>']
    for position, cell in enumerate(row.cells):
        sides = table.sides(position)
        for side in sides:
            text = written(table, row, position, side)
            figure, beside = _split(text, row.cells[position])
            interval = f'<br><span class="interval">{escape(beside)}</span>' if beside else ""
            kind = " text" if isinstance(cell.paper, str) and side == "paper" else ""
            classes = _classes(side, sides) + kind
            words.append(f'<td class="{classes}">{escape(figure)}{interval}</td>')
    opening = '<tr class="base">' if row.base else "<tr>"
    return f"{opening}{''.join(words)}</tr>"


def _split(text: str, cell: Cell) -> tuple[str, str]:
    """A figure, and the interval or the distance behind it, which goes on a line of its own."""
    if isinstance(cell.paper, str):
        return text, ""
    start = min((at for mark in (" [", " (") if (at := text.find(mark)) > 0), default=len(text))
    return text[:start], text[start + 1 :]


def _classes(side: str, sides: tuple[str, ...]) -> str:
    return f"{side} group" if side == sides[0] else side


def _csv_fields(table: ReportTable, position: int) -> list[str]:
    sides = table.sides(position)
    fields = [side for side in sides if side == "paper"]
    for side in ("published", "ours"):
        if side not in sides:
            continue
        measured = [row.cells[position].ours for row in table.rows]
        if side == "published":
            measured = [row.cells[position].published for row in table.rows]
        fields.append(side)
        if any(m is not None and not m.exact and m.low is not None for m in measured):
            fields += [f"{side}_low", f"{side}_high"]
    if table.columns[position].relative and "ours" in sides and "paper" in sides:
        fields.append("relative")
        if any(row.cells[position].ours_verdict for row in table.rows):
            fields.append("verdict")
    return fields


def _csv_value(cell: Cell, name: str) -> Value:
    if name == "paper":
        return cell.paper
    if name == "relative":
        return cell.relative
    if name == "verdict":
        return cell.ours_verdict
    side, _, end = name.partition("_")
    measured = cell.ours if side == "ours" else cell.published
    if measured is None:
        return None
    return {"": measured.value, "low": measured.low, "high": measured.high}[end]


def _plain(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _flat_heading(column: TableColumn, side: str, sides: Sequence[str]) -> str:
    heading = column.heading(sides)
    return heading if len(sides) == 1 else f"{heading}, {column.side(side, sides)}"


def _printed(value: Value, column: TableColumn, digits: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str) or column.derived:
        return _number(value, column)
    return f"{value:,.{digits}f}"


def _number(value: Value, column: TableColumn) -> str:
    if value is None:
        return _DASH
    if isinstance(value, str | bool):
        return _with_signs(str(value))
    rounded = round(value, column.digits) or 0.0  # never "-0.0"
    return f"{rounded:{'+' if column.signed and rounded else ''},.{column.digits}f}"


def _with_signs(text: str) -> str:
    """A printed formula as a reader expects it: c² and σ for c^2 and sigma."""
    for plain, sign in (("^2", "²"), ("^3", "³"), ("sigma", "σ")):
        text = text.replace(plain, sign)
    return text


def _interval(measured: Measured, column: TableColumn) -> str:
    if measured.exact or measured.low is None or measured.high is None:
        return ""
    return f"[{_number(measured.low, column)}, {_number(measured.high, column)}]"


def _percent(relative: float) -> str:
    if not relative:
        return "exact"
    rounded = round(100 * relative, 1)
    return f"{rounded:+.1f} %" if rounded else "0.0 %"


def _line(words: list[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"
