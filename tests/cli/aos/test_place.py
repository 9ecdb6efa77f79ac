"""Where the console looks for its network: what options and the environment come to."""

import pytest

from puna.cli.aos.net import _seen_from
from puna.cli.aos.place import Elsewhere, elsewhere
from puna.errors import Invalid

UNITS = {"gateway": "http://g", "mu": "http://m", "cu": "http://c"}


@pytest.mark.parametrize(
    ("options", "environment", "found"),
    [
        ({}, {}, Elsewhere()),
        ({"url": "http://node:4000/"}, {}, Elsewhere(url="http://node:4000")),
        ({}, {"AO_URL": "https://node"}, Elsewhere(url="https://node")),
        (UNITS, {}, Elsewhere(**UNITS)),
        (UNITS, {"SU_URL": "http://s", "CU_URL": "http://other"}, Elsewhere(**UNITS, su="http://s")),
        ({"mu": "http://m"}, {"GATEWAY_URL": "http://g", "CU_URL": "http://c"}, Elsewhere(**UNITS)),
        ({}, {"GATEWAY_URL": "http://g", "MU_URL": "http://m", "CU_URL": "http://c"}, Elsewhere(**UNITS)),
        ({}, {"GATEWAY_URL": "http://g"}, Elsewhere()),  # meant for another tool
    ],
)
def test_options_win_and_the_environment_fills_in(options, environment, found):
    assert elsewhere(options, environment) == found
    assert bool(found) == (found != Elsewhere())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "node:4000"}, "--url node:4000"),
        ({"mu": "m"}, "--mu-url m"),
        ({"mu": "http://m"}, "--cu-url"),
        ({"mu": "http://m", "cu": "http://c"}, "--gateway-url"),
    ],
)
def test_what_does_not_name_a_network_is_refused(options, why):
    with pytest.raises(Invalid, match=why):
        elsewhere(options, {})


@pytest.mark.parametrize(
    ("gateway", "unit", "seen"),
    [
        ("http://node:4000", "http://node:5002", "http://node:5002"),
        ("http://node:4000", "http://0.0.0.0:5002", "http://node:5002"),
        ("http://[::1]:4000", "http://[::]:5002", "http://[::1]:5002"),
        ("http://node:4000", None, "http://node:4002"),
        ("https://node", None, "https://node:445"),
    ],
)
def test_units_are_where_the_node_says_or_after_its_gateway(gateway, unit, seen):
    assert _seen_from(gateway, unit, 2) == seen
