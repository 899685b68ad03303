"""The two papers as data: every printed figure, every claim, every compared system.

`load("ddf")` reads `ddf.yaml` beside this file. Each printed figure has an address,
`<paper>.<table>.<row>.<column>`; `value("ddf.table5.ddf_resnet50.params_m")` is 16.8. Names are the
fact sheets' ids throughout: a row's `system` is what `repro.models.build` and the results folders
call a method.
"""

from repro.papers.model import Claim, Column, Figure, Paper, Reference, Row, System, Table, Value
from repro.papers.reading import FactSheetError, load, names, parse, value

__all__ = [
    "Claim",
    "Column",
    "FactSheetError",
    "Figure",
    "Paper",
    "Reference",
    "Row",
    "System",
    "Table",
    "Value",
    "load",
    "names",
    "parse",
    "value",
]
