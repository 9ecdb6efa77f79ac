"""The statements on command line, token, packages, models, the herd and Llama Land, 41 to 72 of "AI on AO", each a test
by number.

Names tell it: `test_44_...`, `test_45_46_...`, `test_statement_54_...`. What has no test is a row of a decision note
that begins `| statement N |`. Those before, on the process environment, are looked after in `vm/aos`. The faults of the
published herd, 1 to 24 of the same text, are tests likewise: `test_fault_7_...`.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent
FOLDERS = (TESTS / "services", TESTS / "cli/aos", TESTS / "vm/lua", TESTS / "llamaland")
DECISIONS = ("0010-the-aos-environment.md", "0019-llama-land.md")
STATEMENTS = set(range(41, 73))
FAULTS = set(range(1, 25))


def numbers_in_names(pattern: str) -> set[int]:
    """The numbers that tests bear behind what `pattern` says, in its one group: `7_8_` are two."""
    texts = (file.read_text() for folder in FOLDERS for file in folder.glob("test_*.py"))
    names = (name for text in texts for name in re.findall(pattern, text))
    return {int(number) for name in names for number in name.strip("_").split("_")}


def borne_by_tests() -> set[int]:
    return numbers_in_names(r"def test_(?:statement_)?((?:\d+_)+)")


def in_notes() -> set[int]:
    texts = ((TESTS.parent / "docs/decisions" / name).read_text() for name in DECISIONS)
    return {int(number) for text in texts for number in re.findall(r"^\| statement (\d+) \|", text, re.MULTILINE)}


def test_every_statement_from_the_console_to_llama_land_is_tested_or_noted():
    assert STATEMENTS - borne_by_tests() - in_notes() == set()


def test_what_is_tested_is_not_noted_as_missing():
    assert STATEMENTS & borne_by_tests() & in_notes() == set()


def test_every_fault_of_the_published_herd_is_a_regression_test():
    assert FAULTS - numbers_in_names(r"def test_(?:\d+_)*fault_((?:\d+_)+)") == set()
