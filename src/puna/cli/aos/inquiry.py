"""Questions the console asks a process in dry-runs: Lua texts, and the reading of their answers.

Pure. A dry-run leaves nothing behind, so these may look everywhere; what they read is data of a stranger's program all
the same, and whatever fails in it must not fail here.
"""

import re

from puna.ao.result import Result

from .bundle import quoted_name
from .lua import Place, quoted
from .present import Row, plain, shown

KEYS_MAX = 2000  # of one table, for completion

_RUNTIME_GLOBALS = """
_G _VERSION _host _set_now APM Assign Bell Colors Dump Errors HANDLER_PRINT_LOGS Handlers Inbox Llama Nonce Owner
Prompt Receive Seeded Send Spawn Tab Utils Version ao apm assert base64 bit32 collectgarbage coroutine debug dofile
error getmetatable io ipairs json load loadfile loadstring math module next os package pairs pcall print rawequal
rawget rawlen rawset require select setmetatable string table tonumber tostring type unpack utf8 xpcall
""".split()


# Completion -----------------------------------------------------------------------------------------------------------


def keys(place: Place) -> str:
    """Lua that answers the text keys of a table, one a line with its type; those of its metatable's `__index` too."""
    steps = ", ".join(str(step) if isinstance(step, int) else quoted_name(step) for step in place.steps)
    return f"""
local value = _G
for _, step in ipairs({{ {steps} }}) do
  local ok, inner = pcall(function() return value[step] end)
  if not ok then return "" end
  value = inner
end
local lines, seen, depth = {{}}, {{}}, 0
while value ~= nil and depth < 8 do
  if type(value) == "table" then
    for key, inner in next, value do
      if type(key) == "string" and not seen[key] and #lines < {KEYS_MAX} then
        seen[key] = true
        lines[#lines + 1] = key .. "\\t" .. type(inner)
      end
    end
  end
  local meta = getmetatable(value)
  value, depth = type(meta) == "table" and rawget(meta, "__index") or nil, depth + 1
end
table.sort(lines)
return table.concat(lines, "\\n")
"""


_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def read_keys(result: Result) -> dict[str, str]:
    """Names that can stand after a dot, with the type of what they name."""
    if result.error is not None:
        return {}
    rows = (line.split("\t") for line in plain(shown(result.output).text).split("\n"))
    return {row[0]: row[1] for row in rows if len(row) == 2 and _IDENTIFIER.fullmatch(row[0])}


# Dumps ----------------------------------------------------------------------------------------------------------------


_TEXT_OF = """
local function text_of(value)
  if type(value) == "table" then return Dump(value) end
  return type(value) == "string" and string.format("%q", value) or tostring(value)
end
"""


def dump(expression: str) -> str:
    """Lua that answers a value as Lua text; of "", every global that is not aos's own."""
    if expression:
        return f"{_TEXT_OF}return text_of((\n{expression}\n))"
    known = ", ".join(f"{name} = true" for name in _RUNTIME_GLOBALS)
    return f"""{_TEXT_OF}
local known, names, lines = {{ {known} }}, {{}}, {{}}
for name in next, _G do
  if type(name) == "string" and not known[name] then names[#names + 1] = name end
end
table.sort(names)
for _, name in ipairs(names) do
  local value = rawget(_G, name)
  local plain = string.find(name, "^[%a_][%w_]*$") and name or "_G[" .. string.format("%q", name) .. "]"
  local text = type(value) == "function" and "function() end -- " .. tostring(value) or text_of(value)
  lines[#lines + 1] = plain .. " = " .. text
end
return table.concat(lines, "\\n")
"""


# Profiles -------------------------------------------------------------------------------------------------------------


def profile(code: str) -> str:
    """Lua that runs `code` and answers how many instructions of the Lua machine each function ran.

    A hook after every instruction counts for the function it is in, in every coroutine that begins meanwhile.
    Lines of the answer: instructions, calls, name, place; the last one is what an error said.
    """
    return f"""
local source = {quoted(code)}
local chunk = load("return " .. source, "profiled", "t", _G) or assert(load(source, "profiled", "t", _G))
local getinfo, sethook, create, wrap = debug.getinfo, debug.sethook, coroutine.create, coroutine.wrap
local counts, calls, infos = {{}}, {{}}, {{}}
local function hook(event)
  local info = getinfo(2, "f")
  local f = info and info.func
  if not f then return end
  if event == "count" then
    counts[f] = (counts[f] or 0) + 1
  else
    calls[f] = (calls[f] or 0) + 1
    if not infos[f] then infos[f] = getinfo(2, "nS") end
  end
end
local function hooked(body)
  return function(...)
    sethook(hook, "c", 1)
    return body(...)
  end
end
coroutine.create = function(body) return create(hooked(body)) end
coroutine.wrap = function(body) return wrap(hooked(body)) end
local own = getinfo(1, "f").func
sethook(hook, "c", 1)
local ok, failure = pcall(chunk)
sethook()
coroutine.create, coroutine.wrap = create, wrap
local order = {{}}
for f in next, infos do order[#order + 1] = f end
for f in next, counts do if not infos[f] then infos[f] = getinfo(f, "S"); order[#order + 1] = f end end
table.sort(order, function(a, b)
  local x, y = counts[a] or 0, counts[b] or 0
  if x ~= y then return x > y end
  local p, q = infos[a], infos[b]
  if p.short_src ~= q.short_src then return p.short_src < q.short_src end
  return p.linedefined < q.linedefined
end)
local lines = {{}}
for _, f in ipairs(order) do
  local info = infos[f]
  if f ~= pcall and f ~= sethook and f ~= own then
    local name = f == chunk and "(what you ran)" or info.name or "(anonymous)"
    local place = info.what == "C" and "C" or f == chunk and "" or info.short_src .. ":" .. info.linedefined
    lines[#lines + 1] = table.concat({{ counts[f] or 0, calls[f] or 0, name, place }}, "\\t")
  end
end
lines[#lines + 1] = "!" .. (ok and "" or tostring(failure))
return table.concat(lines, "\\n")
"""


def profile_rows(result: Result) -> tuple[list[Row], str]:
    """The rows of an answer, most instructions first, and what an error said ("" for none)."""
    rows, failure = [], ""
    lines = plain(shown(result.output).text).split("\n")
    for number, line in enumerate(lines):
        if line.startswith("!"):
            failure = "\n".join([line[1:], *lines[number + 1 :]])
            break
        parts = line.split("\t")
        if len(parts) == 4 and parts[0].isdigit() and parts[1].isdigit():
            rows.append(Row(int(parts[0]), int(parts[1]), parts[2], parts[3]))
    return rows, failure.strip()
