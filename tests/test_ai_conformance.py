"""The statements of "AI on AO" on command line, token, packages and Llama Land, each a test that bears its number.

Names tell it: `test_44_...`, `test_45_46_...`. What has no test is a row of a decision note that begins
`| statement N |`. Those before, on the process environment, are looked after in `vm/aos`.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent
FOLDERS = (TESTS / "services", TESTS / "cli/aos", TESTS / "llamaland")
DECISIONS = ("0010-the-aos-environment.md", "0019-llama-land.md")
STATEMENTS = set(range(41, 54)) | set(range(65, 73))


def borne_by_tests() -> set[int]:
    texts = (file.read_text() for folder in FOLDERS for file in folder.glob("test_*.py"))
    names = (name for text in texts for name in re.findall(r"def test_((?:\d+_)+)", text))
    return {int(number) for name in names for number in name.strip("_").split("_")}


def in_notes() -> set[int]:
    texts = ((TESTS.parent / "docs/decisions" / name).read_text() for name in DECISIONS)
    return {int(number) for text in texts for number in re.findall(r"^\| statement (\d+) \|", text, re.MULTILINE)}


def test_every_statement_is_tested_or_noted():
    assert STATEMENTS - borne_by_tests() - in_notes() == set()


def test_what_is_tested_is_not_noted_as_missing():
    assert STATEMENTS & borne_by_tests() & in_notes() == set()
