"""A bare process with SQLite, and how values look on their way between Lua, SQLite and Python."""

import struct

from vm.bench import MIB, Bench, bare_sqlite_module, program

# `show(...)` writes values so that nothing about them is lost; `rows(sql, ...)` is a query's answer, or its error.
PRELUDE = r"""
sqlite3 = require("lsqlite3")
db = sqlite3.open_memory()

local function hex(text)
  return (text:gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

local function one(value)
  if math.type(value) == "integer" then return "i" .. value end
  if math.type(value) == "float" then return "f" .. hex(string.pack(">d", value)) end
  if type(value) == "string" then return "s" .. hex(value) end
  return value == nil and "n" or tostring(value)
end

function show(...)
  local shown = table.pack(...)
  for i = 1, shown.n do shown[i] = one(shown[i]) end
  return table.concat(shown, ",")
end

function rows(sql, ...)
  local statement = db:prepare(sql)
  if not statement then return "error: " .. db:errmsg() end
  statement:bind_values(...)
  local lines, code = {}, statement:step()
  while code == sqlite3.ROW do
    lines[#lines + 1] = show(statement:get_uvalues())
    code = statement:step()
  end
  if code ~= sqlite3.DONE then lines = { "error: " .. db:errmsg() } end
  statement:finalize()
  return table.concat(lines, "\n")
end

function must(code)
  if code ~= sqlite3.OK then error(db:errmsg(), 2) end
end
"""


def database(*, memory: int = 64 * MIB, gas: int = 20_000_000_000) -> Bench:
    """A process with an empty database in its global `db`."""
    bench = Bench(program(module=bare_sqlite_module(), memory=memory, gas=gas))
    bench.output(PRELUDE)
    return bench


def shown(*values) -> str:
    """What `show` writes for these Python values; bytes and texts are both strings in Lua."""

    def one(value) -> str:
        match value:
            case None:
                return "n"
            case int():
                return f"i{value}"
            case float():
                return "f" + struct.pack(">d", value).hex()
            case str():
                return "s" + value.encode().hex()
            case bytes():
                return "s" + value.hex()

    return ",".join(one(value) for value in values)


def lua(value) -> str:
    """A Lua expression for a Python value."""
    match value:
        case None:
            return "nil"
        case int():
            return f"math.tointeger('{value}')" if value == -(2**63) else f"({value})"
        case float():
            return f"string.unpack('>d', {lua(struct.pack('>d', value))})"
        case str():
            return lua(value.encode())
        case bytes():
            return '"' + "".join(f"\\x{byte:02x}" for byte in value) + '"'
