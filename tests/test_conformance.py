"""Each of the 70 statements of the wire's conformance list is shown by a test that bears its number, or decision 0007
says why it is not followed to the letter.

A test bears the numbers at the beginning of its name (`test_23_24_..`, `test_statements_9_to_13_..`) and those that its
docstring calls statements. The folders are those of the wire; other tests are numbered after other lists.
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FOLDERS = ("arweave", "gateway", "ao", "clients", "node", "vm/published")
DECISION = TESTS.parent / "docs" / "decisions" / "0007-conformance-of-the-units.md"
STATEMENTS = range(1, 71)

NAME = re.compile(r"test_(?:statements?_)?(\d+(?:_(?:to_|and_)?\d+)*)_")
DOCSTRING = re.compile(r"[Ss]tatements? (\d+(?:(?:, | to | and )\d+)*)")


def numbers_in(text: str) -> set[int]:
    """`23_24` or `48 to 50, 68` as numbers."""
    found = set()
    for first, last in re.findall(r"(\d+)(?:[_ ]to[_ ](\d+))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def borne_by(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    named = NAME.match(function.name)
    told = DOCSTRING.findall(ast.get_docstring(function) or "")
    return (numbers_in(named[1]) if named else set()) | {number for text in told for number in numbers_in(text)}


def shown() -> dict[int, list[str]]:
    """The tests of each statement."""
    found: dict[int, list[str]] = {}
    for folder in FOLDERS:
        for path in sorted((TESTS / folder).glob("test_*.py")):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    for number in borne_by(node):
                        found.setdefault(number, []).append(f"{path.name}::{node.name}")
    return found


def decided() -> set[int]:
    """The statements that a row of the decision's table is about."""
    rows = re.findall(r"^\| ([\d, to]+)\b.*\|$", DECISION.read_text("utf-8"), re.MULTILINE)
    return {number for row in rows for number in numbers_in(row)}


@pytest.mark.parametrize("name, numbers", [
    ("test_33_a_story", {33}), ("test_23_24_an_item", {23, 24}), ("test_statements_9_to_11_arweave", {9, 10, 11}),
    ("test_statements_1_8_and_18_items", {1, 8, 18}), ("test_a_story_of_3_parts", set()), ("test_3d", set()),
])  # fmt: skip
def test_names_are_read_as_they_are_meant(name, numbers):
    assert borne_by(ast.parse(f"def {name}(): pass").body[0]) == numbers


def test_every_statement_is_shown_by_a_test_or_told_in_the_decision():
    tests, told = shown(), decided()
    assert not [number for number in STATEMENTS if number not in tests and number not in told]
    assert set(tests) | told <= set(STATEMENTS), "a number of no statement"


def test_the_decision_is_a_note_and_no_way_around_the_tests():
    """What differs is tested as it is here; the decision says why it differs."""
    assert not decided() - set(shown())
