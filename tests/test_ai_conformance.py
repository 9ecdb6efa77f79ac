"""The statements on command line, token and packages, 41 to 53 of "AI on AO", each a test that bears its number.

Names tell it: `test_44_...`, `test_45_46_...`. What belongs to a part that is not built yet is a row of decision 0010
that begins `| statement N |`. Those before, on the process environment, are looked after in `vm/aos`.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent
FOLDERS = (TESTS / "services", TESTS / "cli/aos")
DECISION = TESTS.parent / "docs/decisions/0010-the-aos-environment.md"
STATEMENTS = set(range(41, 54))


def borne_by_tests() -> set[int]:
    texts = (file.read_text() for folder in FOLDERS for file in folder.glob("test_*.py"))
    names = (name for text in texts for name in re.findall(r"def test_((?:\d+_)+)", text))
    return {int(number) for name in names for number in name.strip("_").split("_")}


def in_notes() -> set[int]:
    return {int(number) for number in re.findall(r"^\| statement (\d+) \|", DECISION.read_text(), re.MULTILINE)}


def test_every_statement_on_console_token_and_packages_is_tested_or_noted():
    assert STATEMENTS - borne_by_tests() - in_notes() == set()


def test_what_is_tested_is_not_noted_as_missing():
    assert STATEMENTS & borne_by_tests() & in_notes() == set()
