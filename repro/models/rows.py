"""Which network each printed row is, and how its exact costs compare with the printed ones.

A row has an address, `<paper>.<table>.<row>`. Most rows' `system` ids are network names; `NETWORKS`
names the others, where the fact sheet has one id for several networks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from repro import papers
from repro.complexity import Cost, count
from repro.models import build, names

TABLES = ("ddf.table3c", "ddf.table4", "ddf.table5", "fdconv.table1")

CLASSIFICATION = (1, 3, 224, 224)
DETECTION = (1, 3, 800, 1280)

NETWORKS: Mapping[str, str] = {
    "ddf.table4.r18_adaptive": "adaptive_resnet18",
    "ddf.table4.r18_dynet": "dynet_resnet18",
    "ddf.table4.r50_dynet": "dynet_resnet50",
    "ddf.table4.r50_condconv": "condconv_resnet50",
    "ddf.table4.r50_dwcondconv": "dwcondconv_resnet50",
    "ddf.table4.r50_dwweightnet": "dwweightnet_resnet50",
    "fdconv.table1.faster_rcnn_condconv_8x": "condconv8x_resnet50",
    "fdconv.table1.faster_rcnn_dyconv_4x": "dyconv4x_resnet50",
    "fdconv.table1.faster_rcnn_dcd": "dcd_resnet50",
    "fdconv.table1.faster_rcnn_odconv_4x": "odconv4x_resnet50",
    "fdconv.table1.faster_rcnn_fdconv": "fdconv_resnet50",
    "fdconv.table1.mask_rcnn_dyconv_4x": "dyconv4x_resnet50",
    "fdconv.table1.mask_rcnn_odconv_4x": "odconv4x_resnet50",
    "fdconv.table1.mask_rcnn_kw_1x": "kw1x_resnet50",
    "fdconv.table1.mask_rcnn_kw_4x": "kw4x_resnet50",
    "fdconv.table1.mask_rcnn_fdconv": "fdconv_resnet50",
}

# A plain detector's row has its own costs in `repro.models.detection.costs`; here, its backbone.
BACKBONES: Mapping[str, str] = {
    "fdconv.table1.faster_rcnn_r50": "resnet50",
    "fdconv.table1.mask_rcnn_r50": "resnet50",
}

_NO_CONVENTION = (
    "the paper does not say what was counted, and no convention of repro.complexity gives its "
    "increments"
)
# Why a cell differs, by its address or by the table and column of many.
NOTES: Mapping[str, str] = {
    "ddf.table5.res2net50_14w_8s.params_m": (
        "the paper prints the count of Res2Net50 26w-4s (25.699 M, `res2net50_26w_4s`) beside the "
        "label and the FLOPs of 14w-8s"
    ),
    "ddf.table4.r18_dynet.params_m": (
        "the fixed kernels, 6 at half the channels, are 16.53 M of ours; the printed count leaves "
        "no room for the classifier (0.26 M) and the predictions (0.54 M)"
    ),
    "fdconv.table1.flops_delta_g": _NO_CONVENTION,
    "fdconv.table1.faster_rcnn_dcd.flops_delta_g": (
        "the projections P and Q alone cost 5.55 G at 1280 x 800 (0.27 G at 224 x 224)"
    ),
}


@dataclass(frozen=True)
class Cell:
    """One printed cost beside the exact one, both in the column's unit.

    Attributes:
        address: `<paper>.<table>.<row>.<column>`.
        network: a name that `repro.models.build` takes.
        digits: that the column prints after the point.
    """

    address: str
    network: str
    printed: float
    counted: float
    digits: int

    @property
    def column(self) -> str:
        """Id of the printed column."""
        return self.address.rpartition(".")[2]

    @property
    def table(self) -> str:
        """`<paper>.<table>`."""
        return self.address.rsplit(".", 2)[0]

    @property
    def difference(self) -> float:
        """Relative to the printed cost."""
        return self.counted / self.printed - 1

    @property
    def verdict(self) -> str:
        """One of "exact" (to the printed digit), "within 2 %" and "differs"."""
        if f"{self.counted:.{self.digits}f}" == f"{self.printed:.{self.digits}f}":
            return "exact"
        return "within 2 %" if abs(self.difference) <= 0.02 else "differs"

    @property
    def note(self) -> str | None:
        """Why the cell differs; None if it does not."""
        if self.verdict != "differs":
            return None
        paper, table, _, column = self.address.split(".")
        return NOTES.get(self.address) or NOTES.get(f"{paper}.{table}.{column}")


@functools.cache
def cost(name: str, size: tuple[int, ...] = CLASSIFICATION) -> Cost:
    """What `repro.complexity.count` finds in a full-size network.

    Raises:
        UnknownNameError: no such network.
        NotImplementedError: the network runs an operator that has no counting rule.
    """
    with torch.device("meta"):
        net = build(name)
    found = count(net, size)
    if found.uncounted:
        raise NotImplementedError(f"{name}: no counting rule for {', '.join(found.uncounted)}")
    return found


def _increment_of_macs(name: str) -> float:
    return float(cost(name, DETECTION).macs - cost("resnet50", DETECTION).macs)


# Column -> the exact cost of a network in the column's unit. Increments are over ResNet-50, those
# of operations at 1280 x 800.
COUNTS: Mapping[str, Callable[[str], float]] = {
    "params_m": lambda name: cost(name).params / 1e6,
    "flops_g": lambda name: cost(name).macs / 1e9,
    "params_delta_m": lambda name: (cost(name).params - cost("resnet50").params) / 1e6,
    "flops_delta_g": lambda name: _increment_of_macs(name) / 1e9,
}


def network_of(address: str) -> str | None:
    """The network that a row is; None for a row that is none of ours (a detector).

    Raises:
        UnknownNameError: no such paper, table or row.
    """
    paper, table, row = address.split(".")
    system = papers.load(paper).table(table).row(row).system
    found = NETWORKS.get(address, system)
    return found if found in names() else None


def rows() -> dict[str, str]:
    """Address of every row of `TABLES` that is one of our networks -> the network's name."""
    found = {}
    for table in TABLES:
        paper, _, table_id = table.partition(".")
        for row in papers.load(paper).table(table_id).rows:
            network = network_of(f"{table}.{row.id}")
            if network is not None:
                found[f"{table}.{row.id}"] = network
    return found


def cells() -> Iterator[Cell]:
    """Every printed parameter and operation count of `TABLES` that one of our networks has."""
    for address, network in rows().items():
        paper, table, row = address.split(".")
        printed = papers.load(paper).table(table)
        for column, count_in in COUNTS.items():
            value = printed.row(row).values.get(column)
            if isinstance(value, float | int):
                digits = digits_of(printed, column)
                yield Cell(f"{address}.{column}", network, value, count_in(network), digits)


def describe() -> dict[str, Any]:
    """Every row of `TABLES` as plain values, for the stages that write tables.

    Returns:
        Address of a row -> "network" (a detector's is its backbone), and "costs" with an entry for
        each cost that the table prints of a network of ours, in this row or another: "counted",
        and "printed", "verdict" and "note", which are None where this row prints nothing.
    """
    printed = {cell.address: cell for cell in cells()}
    columns = {(cell.table, cell.column) for cell in printed.values()}
    found: dict[str, Any] = {}
    for address, network in {**rows(), **BACKBONES}.items():
        table = address.rpartition(".")[0]
        costs: dict[str, Any] = {}
        for column in COUNTS:
            if (table, column) not in columns or address in BACKBONES:
                continue
            cell = printed.get(f"{address}.{column}")
            costs[column] = {
                "counted": COUNTS[column](network),
                "printed": cell and cell.printed,
                "verdict": cell and cell.verdict,
                "note": cell and cell.note,
            }
        found[address] = {"network": network, "costs": costs}
    return found


def digits_of(table: papers.Table, column: str) -> int:
    """Digits that a column prints after the point; 2.300 is a plain 2.3 in the sheet."""
    return max(_digits(row.values[column]) for row in table.rows)


def _digits(value: papers.Value) -> int:
    return len(repr(value).partition(".")[2]) if isinstance(value, float) else 0
