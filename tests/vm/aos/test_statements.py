"""Every conformance statement of the process environment, 1 to 40, is a test that bears its number, or is noted.

A test bears it in its name: `test_statement_7_...`, `test_statements_7_and_8_...`. A note is a row of decision 0010
that begins `| statement N |`.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
FOLDERS = (HERE, HERE.parent / "lua")
DECISION = HERE.parents[2] / "docs/decisions/0010-the-aos-environment.md"
STATEMENTS = set(range(1, 41))


def borne_by_tests() -> set[int]:
    numbers = set()
    for file in (file for folder in FOLDERS for file in folder.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = re.match(r"test_statements?_((?:\d+_(?:and_)?)+)", node.name)
                numbers |= {int(number) for number in re.findall(r"\d+", named[1])} if named else set()
    return numbers


def in_notes() -> set[int]:
    return {int(number) for number in re.findall(r"^\| statement (\d+) \|", DECISION.read_text(), re.MULTILINE)}


def test_every_statement_of_the_environment_is_tested_or_noted():
    assert STATEMENTS - borne_by_tests() - in_notes() == set()


def test_what_is_noted_is_not_tested_as_well():
    assert in_notes() & borne_by_tests() == set()
