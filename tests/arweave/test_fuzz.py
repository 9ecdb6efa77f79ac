"""A slice of the long run of fuzz.py: no parser falls over, whatever bytes come."""

from arweave.fuzz import run


def test_no_parser_falls_over():
    counts = dict(run(600, seed=7))
    assert {"item", "tags", "bundle", "transaction", "graphql", "message"} <= set(counts)
    assert all(sum(both) == 600 for both in counts.values())
    # Some mutants must get through and some not, or nothing is tested. These answer whatever they are given.
    assert all(taken for taken, _ in counts.values())
    assert {name for name, (_, refused) in counts.items() if not refused} <= {"proof", "graphql", "range", "answer"}
