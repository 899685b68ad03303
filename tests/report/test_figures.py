"""One look a method, and a forest plot that shows every comparison."""

from __future__ import annotations

import matplotlib as mpl
import pytest
import trees

from repro.papers import load
from repro.report import figures, style, tables
from repro.report.results import Results


def compared(tmp_path):
    results = Results(trees.whole(tmp_path))
    built = [tables.build(f"ddf_table3{part}", results) for part in "abc"]
    return figures.differences(built)


def test_no_two_methods_of_a_table_look_alike():
    for table in load("ddf").tables:
        systems = {row.system for row in table.rows} & set(style.known_methods())
        looks = [(style.look(system).colour, style.look(system).marker) for system in systems]
        assert len(set(looks)) == len(looks), table.id


@pytest.mark.parametrize("table", ["table1", "table2", "table3a", "table3b", "table3c"])
def test_every_method_of_the_first_tables_has_a_look(table):
    assert {row.system for row in load("ddf").table(table).rows} <= set(style.known_methods())


def test_a_new_method_is_drawn_in_grey():
    assert style.look("my_layer") == style.Look(style.GREY, "*", "my layer")


def test_the_style_leaves_the_callers_settings_alone():
    before = dict(mpl.rcParams)
    with style.applied():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


def test_differences_are_those_of_the_tables(tmp_path):
    found = compared(tmp_path)
    assert len(found) == 3 + 2 + 2
    first = found[0]
    assert (first.row, first.method, first.paper) == (
        "Spatial filter only",
        "ddf_spatial_only",
        -2.8,
    )
    assert first.low < first.ours < first.high


def test_the_forest_plot_names_every_row(tmp_path):
    found = compared(tmp_path)
    axes = figures.forest(found).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [label for label in labels if not label.startswith("DDF,")] == [c.row for c in found]
    low, high = axes.get_xlim()
    assert all(low < c.ours < high for c in found)


def test_its_bytes_repeat(tmp_path):
    images = [figures.to_png(figures.forest(compared(tmp_path))) for _ in range(2)]
    assert images[0] == images[1]
    assert images[0].startswith(b"\x89PNG")


def test_its_numbers_lie_beside_it(tmp_path):
    text = figures.to_csv(compared(tmp_path))
    assert text.splitlines()[0] == "table,row,method,paper,ours,low,high,seeds"
    assert len(text.splitlines()) == 8


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="at least one comparison"):
        figures.forest([])
