"""The statements on command line, token, packages, models and the herd, 41 to 64 of "AI on AO", each a test by number.

Names tell it: `test_44_...`, `test_45_46_...`, `test_statement_54_...`. What belongs to a part that is not built yet is
a row of decision 0010 that begins `| statement N |`. Those before, on the process environment, are looked after in
`vm/aos`. The faults of the published herd, 1 to 24 of the same text, are tests likewise: `test_fault_7_...`.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent
FOLDERS = (TESTS / "services", TESTS / "cli/aos", TESTS / "vm/lua")
DECISION = TESTS.parent / "docs/decisions/0010-the-aos-environment.md"
STATEMENTS = set(range(41, 65))
FAULTS = set(range(1, 25))


def numbers_in_names(pattern: str) -> set[int]:
    """The numbers that tests bear behind what `pattern` says, in its one group: `7_8_` are two."""
    texts = (file.read_text() for folder in FOLDERS for file in folder.glob("test_*.py"))
    names = (name for text in texts for name in re.findall(pattern, text))
    return {int(number) for name in names for number in name.strip("_").split("_")}


def borne_by_tests() -> set[int]:
    return numbers_in_names(r"def test_(?:statement_)?((?:\d+_)+)")


def in_notes() -> set[int]:
    return {int(number) for number in re.findall(r"^\| statement (\d+) \|", DECISION.read_text(), re.MULTILINE)}


def test_every_statement_from_the_console_to_the_herd_is_tested_or_noted():
    assert STATEMENTS - borne_by_tests() - in_notes() == set()


def test_what_is_tested_is_not_noted_as_missing():
    assert STATEMENTS & borne_by_tests() & in_notes() == set()


def test_every_fault_of_the_published_herd_is_a_regression_test():
    assert FAULTS - numbers_in_names(r"def test_(?:\d+_)*fault_((?:\d+_)+)") == set()
