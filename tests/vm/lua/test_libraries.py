"""The libraries programs require, held against Python's own numbers, JSON and base 64."""

import base64
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.lua.hosts import new_lua

MODULUS = 1 << 256
LUA = new_lua()


def signed(number: int) -> int:
    number %= MODULUS
    return number - MODULUS if number >= MODULUS // 2 else number


# --- big integers --------------------------------------------------------------------------------------------------

widths = st.sampled_from([8, 31, 32, 33, 63, 64, 65, 96, 128, 200, 255])
numbers = st.one_of(
    widths.flatmap(lambda bits: st.integers(-(1 << bits), (1 << bits) - 1)),
    st.sampled_from([0, 1, -1, 2**32 - 1, 2**64 - 2**32, 2**255 - 1, -(2**255), 2**128 - 1, -(2**63)]),
)

ARITHMETIC = LUA.eval("""function(a, b)
    local bint = require(".bint")(256)
    local x, y = bint(a), bint(b)
    return tostring(x + y), tostring(x - y), tostring(x * y), x < y, x <= y, x == y, tostring(-x), bint.ult(x, y)
end""")
DIVISION = LUA.eval("""function(a, b)
    local bint = require(".bint")(256)
    local x, y = bint(a), bint(b)
    local uq, ur = bint.udivmod(x, y)
    local tq, tr = bint.tdivmod(x, y)
    return tostring(x // y), tostring(x % y), bint.tobase(uq, 10, true), bint.tobase(ur, 10, true),
        tostring(tq), tostring(tr)
end""")
BITS = LUA.eval("""function(a, b, n)
    local bint = require(".bint")(256)
    local x, y = bint(a), bint(b)
    return tostring(x & y), tostring(x | y), tostring(x ~ y), tostring(~x), tostring(x << n), tostring(x >> n)
end""")
TEXTS = LUA.eval("""function(a)
    local bint = require(".bint")(256)
    local x = bint(a)
    return bint.tobase(x, 16), bint.tobase(x, 16, false), bint.tobase(x, 7, false),
        bint.frombase(bint.tobase(x, 36), 36) == x, bint.fromle(bint.tole(x)) == x,
        bint.frombe(bint.tobe(x)) == x, bint.tonumber(x), tostring(bint.abs(x))
end""")


def based(number: int, base: int) -> str:
    digits = ""
    rest = abs(number)
    while True:
        rest, digit = divmod(rest, base)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if not rest:
            return ("-" if number < 0 else "") + digits


@given(numbers, numbers)
@settings(max_examples=400, deadline=None)
def test_bints_add_multiply_and_compare_like_integers(a, b):
    ra, rb = a % MODULUS, b % MODULUS
    expected = (a + b, a - b, a * b)
    assert ARITHMETIC(str(a), str(b)) == (
        *(str(signed(n)) for n in expected), a < b, a <= b, a == b, str(signed(-a)), ra < rb
    )  # fmt: skip


@given(numbers, numbers.filter(bool))
@settings(max_examples=400, deadline=None)
def test_bints_divide_like_integers(a, b):
    ra, rb = a % MODULUS, b % MODULUS
    towards_zero = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    floored = (signed(a // b), a % b, ra // rb, ra % rb, signed(towards_zero), a - b * towards_zero)
    assert DIVISION(str(a), str(b)) == tuple(map(str, floored))


@given(numbers, numbers, st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_bints_have_bits(a, b, places):
    expected = (a & b, a | b, a ^ b, ~a, a << places, (a % MODULUS) >> places)
    assert BITS(str(a), str(b), places) == tuple(str(signed(n)) for n in expected)


@given(numbers)
@settings(max_examples=150, deadline=None)
def test_bints_as_text_bytes_and_numbers(a):
    number = a if -(2**63) <= a < 2**63 else float(a)
    texts = (based(a % MODULUS, 16), based(a, 16), based(a, 7), True, True, True, number, str(signed(abs(a))))
    assert TEXTS(str(a)) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [("+5", "5"), ("005", "5"), ("0x10", "16"), ("-0x10", "-16"), ("0b101", "5"), (5.0, "5"), (2**53, str(2**53))]
    + [(1e30, "1000000000000000019884624838656"), (str(MODULUS + 5), "5"), (str(2**255), str(-(2**255)))],
)
def test_what_a_bint_is_made_from(value, text):
    assert LUA.eval('function(x) return tostring(require(".bint")(256)(x)) end')(value) == text


@pytest.mark.parametrize("value", ["5.0", "1e3", " 5", "1_000", "", "-", "0x", 1.5, math.inf, math.nan, True, None])
def test_what_no_bint_is_made_from(value):
    ok, error = LUA.eval('function(x) return pcall(require(".bint")(256), x) end')(value)
    assert not ok and error.endswith("value cannot be represented by a bint")


def test_bints_mix_with_numbers():
    mixed = LUA.eval("""function()
        local bint = require(".bint")(256)
        local five = bint(5)
        return tostring(five + 1), tostring(10 - five), five / 2, five + 0.5, five < 6, 4.5 < five, bint.eq(five, 5),
            tostring(five // 2), five == bint("5"), tostring(bint.ipow(2, 200)), bint.type(five), five:isneg(),
            tostring(bint.max(five, 7)), "n=" .. five, bint.__lt(bint(0), five), tostring(bint.upowmod(3, 100, 7)),
            bint.isbint(five), bint.isbint({}), bint.tointeger(five), tostring(bint.maxinteger() + 1)
    end""")()
    assert mixed == (
        *("6", "5", 2.5, 5.5, True, True, True, "2", True, str(2**200), "bint", False, "7", "n=5", True),
        *(str(pow(3, 100, 7)), True, False, 5, str(-(2**255))),
    )


TURNED = LUA.eval("""function(a, n)
    local bint = require(".bint")(256)
    local x = bint(a)
    return tostring(bint.brol(x, n)), tostring(bint.bror(x, n)), tostring(bint.bwrap(x, n))
end""")


@given(numbers, st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_bints_turn_and_wrap(a, count):
    raw, places = a % MODULUS, count % 256
    left = (raw << places | raw >> (256 - places)) % MODULUS
    right = (raw >> places | raw << (256 - places)) % MODULUS
    assert TURNED(str(a), count) == tuple(str(signed(n)) for n in (left, right, raw & ((1 << count) - 1)))


def test_bints_change_in_place():
    changed = LUA.eval("""function()
        local bint = require(".bint")(256)
        local x = bint(12)
        local out = {}
        for _, step in ipairs({{"_band", 10}, {"_bor", 3}, {"_bxor", 1}, {"_shlone"}, {"_shrone"}, {"_shlwords", 2},
            {"_shrwords", 1}, {"_assign", 7}, {"_bnot"}, {"_abs"}, {"_unm"}, {"_inc"}, {"_dec"}, {"_add", 5},
            {"_sub", 1}}) do
            local same = x[step[1]](x, step[2])
            out[#out + 1] = rawequal(same, x) and tostring(x)
        end
        local rounded = {bint.floor(-5.5), bint.ceil(5.2), bint.floor(bint(4))}
        return table.concat(out, " "), tostring(rounded[1]), tostring(rounded[2]), tostring(rounded[3])
    end""")
    steps = [8, 11, 10, 20, 10, 10 << 64, 10 << 32, 7, -8, 8, -8, -7, -8, -3, -4]
    assert changed() == (" ".join(map(str, steps)), "-6", "6", "4")


def test_dividing_by_zero_is_an_error():
    ok, error = LUA.eval('function() return pcall(function() return require(".bint")(256)(1) // 0 end) end')()
    assert not ok and "division by zero" in error


def test_widths_other_than_256():
    wrap = LUA.eval('function(bits) local b = require(".bint")(bits); return tostring(b.maxinteger() + 1) end')
    assert [wrap(bits) for bits in (64, 128, 512)] == [str(-(1 << (bits - 1))) for bits in (64, 128, 512)]
    assert LUA.eval('require(".bint")(256) == require(".bint")(256)')


# --- JSON ----------------------------------------------------------------------------------------------------------

ENCODE = LUA.eval('function(value) return require("json").encode(value) end')
ROUND = LUA.eval('function(text) local json = require("json") return json.encode(json.decode(text)) end')
DECODE_ERROR = LUA.eval('function(text) local ok, e = pcall(require("json").decode, text) return not ok and e end')

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(
    st.booleans(), st.integers(-(10**14) + 1, 10**14 - 1), texts, st.integers(-(10**6), 10**6).map(lambda n: n / 8)
)
# Empty objects and nulls are left out: Lua has one empty table, and nil is nothing.
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, min_size=1, max_size=5)
)


@given(values, st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_json_comes_back_as_it_was(value, indent, ascii_only):
    assert json.loads(ROUND(json.dumps(value, indent=indent, ensure_ascii=ascii_only))) == value


def test_statement_36_json_has_the_words_programs_rely_on():
    assert ENCODE(LUA.eval("{}")) == "[]"
    assert LUA.eval('#require("json").decode("[1,2,]")') == 2
    assert LUA.eval('require("json").decode("{\\"a\\":1,}").a') == 1
    assert ENCODE(123456789012345678) == "1.2345678901235e+17" and ENCODE(10**14 - 1) == "99999999999999"
    assert ROUND('{"q":"123456789012345678901234567890"}') == '{"q":"123456789012345678901234567890"}'
    assert ENCODE(LUA.eval("{f = print, a = 1}")) == '{"a":1}' and ENCODE(LUA.eval("{1, print, 2}")) == "[1,2]"
    assert LUA.eval('require("json").decode("null")') is None
    assert ENCODE('\x00\x7f\n"\\/é') == '"\\u0000\x7f\\n\\"\\\\/é"'
    assert LUA.eval('require("json").decode([["\\ud83e\\udd99\\ud800x"]])') == "🦙�x"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{1, a = 2}", "invalid table: mixed or invalid key types"),
        ("{a = 1, [2] = 2}", "invalid table: mixed or invalid key types"),
        ("{1, 2, nil, 4}", "invalid table: sparse array"),
        ("0/0", "unexpected number value"),
        ("1/0", "unexpected number value 'inf'"),
        ("print", "unexpected type 'function'"),
        ("(function() local t = {} t.t = t return t end)()", "circular reference"),
    ],
)
def test_what_cannot_be_written_as_json(value, words):
    error = LUA.eval(f'function() return select(2, pcall(require("json").encode, {value})) end')()
    assert words in error


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[", "[,]", "[1 2]", '{"a"}', '{"a":}', '{"a":1', "{1:2}", "tru", "nul", "1 2", "--1", "1.2.3"]
    + ['"', '"\\x"', '"\\u12"', '"\n"', "[1]]", "'a'", '{"a":1 "b":2}', "{,}", "x", '"a\\'],
)
def test_what_is_no_json(text):
    assert "at line" in (DECODE_ERROR(text) or "it was accepted")


def test_json_errors_name_the_place():
    assert DECODE_ERROR('{"a":\n [1, x]}').endswith("unexpected character 'x' at line 2 col 6")
    assert "expected argument of type string, got nil" in DECODE_ERROR(None)


# --- the others ----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_base64_is_the_standard_one(data):
    encode = LUA.eval('function(hex) return require(".base64").encode((hex:gsub("..", function(h) '
                      'return string.char(tonumber(h, 16)) end))) end')  # fmt: skip
    decode = LUA.eval('function(text) return (require(".base64").decode(text):gsub(".", function(c) '
                      'return string.format("%02x", c:byte()) end)) end')  # fmt: skip
    text = base64.b64encode(data).decode()
    assert encode(data.hex()) == text
    assert bytes.fromhex(decode(text)) == bytes.fromhex(decode(text.rstrip("="))) == data


def test_base64_with_another_alphabet():
    both = LUA.eval(r"""function()
        local b = require(".base64")
        local text = b.encode("\xfb\xff", b.makeencoder("-", "_"))
        return text, b.decode(text, b.makedecoder("-", "_")) == "\xfb\xff"
    end""")
    assert both() == ("-_8=", True)


def test_dump_is_lua_text():
    dump = LUA.eval('require(".dump")')
    text = dump(LUA.eval('{1, "two", {}, key = {["odd key"] = true}, ["end"] = 1.5}'))
    assert text.split("\n") == [
        "{",
        "    [1] = 1,",
        '    [2] = "two",',
        "    [3] = {},",
        '    ["end"] = 1.5,',
        "    key = {",
        '        ["odd key"] = true',
        "    }",
        "}",
    ]
    assert LUA.eval(f"({text}).key['odd key']") is True
    assert (
        dump(LUA.eval("(function() local t = {} t[1] = t return t end)()")) == '{\n    [1] = "<circular reference>"\n}'
    )
    assert (dump(1), dump("a\nb"), dump(None)) == ('"1"', '"a\\\nb"', '"nil"')


def test_pretty_lists_a_table():
    tprint = LUA.eval('require(".pretty").tprint')
    assert tprint(LUA.eval('{b = {1}, a = "x"}'), 1) == " a: x\n b: \n  1: 1\n"
    assert tprint(LUA.eval("{}")) == ""


def test_names_in_one_spelling():
    spell = LUA.eval('function(name) local u = require(".utils") return u.normalize(name), u.capitalize(name) end')
    assert spell("foo_BAR-baz") == ("Foo-Bar-Baz", "Foo_bar-baz") and spell("") == ("", "")


def test_tables_of_strings_and_numbers_are_simple():
    simple = LUA.eval('require(".stringify").isSimpleArray')
    assert [simple(LUA.eval(t)) for t in ("{1, 'a'}", "{}", "{1, {}}", "{a = 1}")] == [True, True, False, False]
