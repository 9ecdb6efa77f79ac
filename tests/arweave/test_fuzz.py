"""A slice of the long run of fuzz.py: no parser of this floor falls over, whatever bytes come."""

from arweave.fuzz import run


def test_no_parser_falls_over():
    counts = run(6_000, seed=7)
    assert all(sum(both) for both in counts.values())
    assert counts["item"][0] and counts["item"][1], "some mutants must get through, or nothing is tested"
