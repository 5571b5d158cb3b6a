"""What is exported is text in every spreadsheet."""

import csv
import io

import pytest

from web.csv import csv_lines

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "\0=1",
    "|x",
    "%x",
]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_begins_as_a_formula_wherever_it_stands(cell: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_lines([[cell, "x", cell], ["x", cell, "x"]]), newline="")))
    for found in (rows[0][0], rows[0][2], rows[1][1]):
        assert found == "'" + cell.replace("\0", "\ufffd")


@pytest.mark.parametrize("cell", ['a",=1', "a\n=1", "a\r\n=1", 'a"\n"=1', "a;=1"])
def test_a_formula_behind_a_separator_or_a_new_line_stays_in_its_cell(cell: str) -> None:
    assert list(csv.reader(io.StringIO(csv_lines([[cell, "end"]]), newline=""))) == [[cell, "end"]]


def test_everything_is_quoted_and_nothing_is_empty() -> None:
    assert csv_lines([["Council", 7, None, "Rathaus „Süd“"]]) == '"Council","7","","Rathaus „Süd“"\r\n'


def test_numbers_below_zero_are_text_too() -> None:
    assert csv_lines([[-1]]) == '"\'-1"\r\n'
