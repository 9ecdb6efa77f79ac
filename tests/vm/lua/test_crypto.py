"""The crypto library against Python's."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.lua.hosts import new_lua

LUA = new_lua()
HASH = LUA.eval("""function(name, hex)
    local crypto = require(".crypto")
    return crypto.digest[name](crypto.utils.hex.hexToString(hex)).asHex()
end""")

PYTHON = {
    "md5": hashlib.md5,
    "sha1": hashlib.sha1,
    "sha2_256": hashlib.sha256,
    "sha2_512": hashlib.sha512,
    "sha3_256": hashlib.sha3_256,
    "sha3_512": hashlib.sha3_512,
}


@pytest.mark.parametrize("name", PYTHON)
@given(st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_digests_are_the_standard_ones(name, data):
    assert HASH(name, data.hex()) == PYTHON[name](data).hexdigest()


@pytest.mark.parametrize("name", PYTHON)
def test_digests_at_the_edges_of_blocks(name):
    for size in (0, 54, 55, 56, 63, 64, 71, 72, 111, 112, 128, 135, 136, 137, 1000):
        assert HASH(name, b"x".hex() * size) == PYTHON[name](b"x" * size).hexdigest(), size


def test_statement_35_digests_of_the_published_vectors():
    assert HASH("keccak256", b"ao".hex()) == "76da52eec05b749b99d6e62bb52333c1569fe75284e6c82f3de12a4618be00d6"
    of_stream = LUA.eval("""function(name)
        local crypto = require(".crypto")
        return crypto.digest[name](crypto.utils.stream.fromString("ao")).asHex()
    end""")
    assert of_stream("md5") == "adac5e63f80f8629e9573527b25891d3"
    assert of_stream("sha1") == "c29dd6c83b67a1d6d3b28588a1f068b68689aa1d"
    assert of_stream("sha2_256") == "2dd411308b37266d33c9246821adc5aa4002f0091f5e2aece1953789930ad924"


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("key", ["k", "k" * 64, "k" * 65, "k" * 129])
def test_message_authentication(name, key):
    # The HMAC that the published manual prints is no HMAC of the text and key it names; the standard decides.
    mac = LUA.eval("function(name, key) return require('.crypto').mac.createHmac('text', key, name).asHex() end")
    assert mac(name, key) == hmac.new(key.encode(), b"text", name).hexdigest()


def test_key_derivation():
    derive = LUA.eval("""function()
        local crypto = require(".crypto")
        local array = crypto.utils.array
        return crypto.kdf.pbkdf2(array.fromString("password"), array.fromString("salt"), 5, 50, "sha256").asHex()
    end""")
    assert derive() == hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 5, 50).hex().upper()


def test_the_forms_of_bytes():
    forms = LUA.eval("""function()
        local u = require(".crypto.init").utils
        local digest = require(".crypto").digest.md5("x")
        local queue = u.queue()
        u.array.writeToQueue(queue, {1, 2, 3})
        return u.array.toHex(u.array.fromHex("00ff10")), u.stream.toHex(u.stream.fromArray({1, 2})),
            u.hex.stringToHex("a"), #digest.asBytes(), #digest.asString(), queue.pop(), queue.size(),
            #u.array.concat({1}, {2, 3}), u.array.toString(u.array.truncate({65, 66, 67}, 2))
    end""")
    assert forms() == ("00FF10", "0102", "61", 16, 16, 1, 2, 3, "AB")


def test_statement_35_the_digests_are_in_the_process(process):
    code = "return require('.crypto').digest.sha2_256('abc').asHex() .. require('.crypto').digest.sha2_512('').asHex()"
    assert process.eval(code).data == hashlib.sha256(b"abc").hexdigest() + hashlib.sha512(b"").hexdigest()
