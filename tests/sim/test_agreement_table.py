"""The table of agreement, word by word."""

from __future__ import annotations

from sim.agreement_table import LEGEND, markdown_table, table_text
from sim.standing import Standing, standing
from tests.sim.made_validation import DISTURBED, compared

AGREEING = standing(compared("burst", 10.2).to_json(), note="validated before")
DIFFERING = standing(compared("weights", 13.0).to_json())
DISTURBED_ONE = standing(compared("oom", comparable=False).to_json())
FAILED = Standing("leak", "failed", reasons=("the engine is gone", "and so is its disk"))

EXPECTED = f"""\
story    median error  90th percentile  equivalent  different  noise  verdict
burst           1.0 %            1.8 %      2 of 2          0  0.7 %  agrees (validated before)
weights        15.0 %           27.0 %      1 of 2          1  0.7 %  does not agree
oom             0.0 %            0.0 %      2 of 2          0  0.7 %  not comparable
leak                –                –           –          –      –  failed
all             1.0 %           21.6 %      3 of 4          1  0.7 %  1 of 4 agree

{LEGEND}
oom: not comparable, {DISTURBED}
leak: failed, the engine is gone (and 1 more)"""


def test_the_whole_table() -> None:
    """A row per story, one for all, what the columns mean, and why a story has no verdict."""
    assert EXPECTED == table_text([AGREEING, DIFFERING, DISTURBED_ONE, FAILED])


def test_where_all_were_judged_nothing_is_explained() -> None:
    """The last line is the legend."""
    assert LEGEND == table_text([AGREEING, DIFFERING]).splitlines()[-1]


def test_a_table_in_markdown_has_a_line_below_its_headings() -> None:
    """As many cells in each line as there are headings."""
    assert ["| a | b |", "|---|---|", "| 1 | 2 |"] == markdown_table(("a", "b"), [("1", "2")])
