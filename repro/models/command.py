"""`python -m repro models`: every network, its exact costs, the printed ones, and a verdict."""

from __future__ import annotations

import argparse
from collections import Counter

from repro.models import names
from repro.models.rows import Cell, cells, cost, rows

_COLUMNS = ("network", "row", "Params M", "paper", "verdict", "FLOPs G", "paper", "verdict")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "--table", help='only rows whose address starts so: "ddf.table5" (default: all)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table, the reasons of what differs, and a summary."""
    chosen = {
        address: network
        for address, network in rows().items()
        if arguments.table is None or address.startswith(arguments.table)
    }
    if not chosen:
        known = sorted({address.rpartition(".")[0] for address in rows()})
        raise ValueError(f"no row starts with {arguments.table!r}; tables: {', '.join(known)}")
    found = {cell.address: cell for cell in cells() if cell.address.rpartition(".")[0] in chosen}
    lines = [_line(address, network, found) for address, network in chosen.items()]
    if arguments.table is None:
        printed = set(chosen.values())
        lines += [_alone(name) for name in names() if name not in printed]
    for line in _aligned([_COLUMNS, *lines]):
        print(line)
    reasons: dict[str, list[str]] = {}
    for cell in found.values():
        if cell.note is not None:
            reasons.setdefault(cell.note, []).append(cell.address)
    for note, addresses in reasons.items():
        print(f"{note}:", *addresses, sep="\n  ")
    for kind in ("params", "flops"):
        of_kind = [cell for cell in found.values() if cell.column.startswith(kind)]
        print(_summary(kind, of_kind))
    return 0


def _line(address: str, network: str, found: dict[str, Cell]) -> tuple[str, ...]:
    parts = []
    for plain, delta in (("params_m", "params_delta_m"), ("flops_g", "flops_delta_g")):
        cell = found.get(f"{address}.{plain}") or found.get(f"{address}.{delta}")
        if cell is None:
            count = cost(network).params / 1e6 if plain == "params_m" else cost(network).macs / 1e9
            parts += [f"{count:.3f}", "-", "-"]
        else:
            sign = "+" if cell.address.endswith(delta) else ""
            verdict = cell.verdict
            if verdict == "differs":
                verdict += f" {cell.difference:+.1%}"
            parts += [f"{sign}{cell.counted:.3f}", f"{sign}{cell.printed:.{cell.digits}f}", verdict]
    return (network, address, *parts)


def _alone(network: str) -> tuple[str, ...]:
    found = cost(network)
    params, flops = f"{found.params / 1e6:.3f}", f"{found.macs / 1e9:.3f}"
    return (network, "-", params, "-", "-", flops, "-", "-")


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _summary(kind: str, chosen: list[Cell]) -> str:
    verdicts = Counter(cell.verdict for cell in chosen)
    close = sum(cell.verdict == "exact" or abs(cell.difference) <= 0.01 for cell in chosen)
    return (
        f"{kind}: {len(chosen)} printed cells, {verdicts['exact']} exact, "
        f"{verdicts['within 2 %']} within 2 %, {verdicts['differs']} differ; "
        f"{close} exact or within 1 %"
    )
