-- Permanent data as files: `io.open` of `/data/<id>`, `/tx/<id>` and `/block/<height>` for processes with the extension
-- WeaveDrive. A file is read whole when it is opened, and its bytes never change. There are no other files.

local files = {}

local native_open, ask = io.open, _host
local find, match, sub = string.find, string.match, string.sub
local error, ipairs, math_type, select = error, ipairs, math.type, select
local setmetatable, tonumber, tostring, type, unpack = setmetatable, tonumber, tostring, type, table.unpack

local File = {}
File.__index = File
File.__name = "FILE*"

local function content_of(file)
  return file.content or error("attempt to use a closed file", 3)
end

local function read_line(file, keep_end)
  local content, start = file.content, file.position
  if start > #content then
    return nil
  end
  local stop = find(content, "\n", start, true)
  file.position = (stop or #content) + 1
  return sub(content, start, stop and not keep_end and stop - 1 or stop or #content)
end

local function read_number(file)
  local text = match(file.content, "^%s*([+-]?[%w.+-]+)", file.position)
  while text and not tonumber(text) do
    text = #text > 1 and sub(text, 1, -2) or nil
  end
  if text then
    local _, stop = find(file.content, text, file.position, true)
    file.position = stop + 1
    return tonumber(text)
  end
end

local function read_bytes(file, size)
  if file.rewinds then
    file.position, file.rewinds = 1, false
  end
  if file.position > #file.content then
    return nil
  end
  local start = file.position
  file.position = start + size
  return sub(file.content, start, start + size - 1)
end

-- One piece in a form of Lua's `file:read`: a number of bytes, or "a", "l", "L", "n".
local function read_form(file, form)
  if math_type(form) == "integer" then
    return read_bytes(file, form)
  end
  local letter = match(tostring(form), "^%*?([alLn])")
  if letter == "a" then
    return read_bytes(file, #file.content) or ""
  elseif letter == "l" or letter == "L" then
    return read_line(file, letter == "L")
  elseif letter == "n" then
    return read_number(file)
  end
  error("bad argument #1 to 'read' (invalid format)", 3)
end

function File:read(...)
  content_of(self)
  local forms, found = { ... }, {}
  local count = select("#", ...)
  if count == 0 then
    return read_line(self)
  end
  for index = 1, count do
    found[index] = read_form(self, forms[index])
    if found[index] == nil then
      return unpack(found, 1, index)
    end
  end
  return unpack(found, 1, count)
end

function File:lines(form)
  content_of(self)
  return function()
    return read_form(self, form or "l")
  end
end

-- seek([whence [, offset]]): "set", "cur" or "end"; returns the position from the start.
function File:seek(whence, offset)
  local size = #content_of(self)
  local starts = { set = 0, cur = self.position - 1, ["end"] = size }
  local start = starts[whence or "cur"] or error("bad argument #1 to 'seek' (invalid option)", 2)
  local position = start + (offset or 0)
  if position < 0 then
    return nil, "Invalid argument", 22
  end
  -- Programs read a whole file by `file:read(file:seek("end"))`: its bytes begin anew at its end.
  self.position, self.rewinds = position + 1, position == size
  return position
end

function File:write()
  content_of(self)
  return nil, "Bad file descriptor", 9
end

function File:close()
  content_of(self)
  self.content = nil
  return true
end

function File:__tostring()
  return self.content and "file (" .. self.path .. ")" or "file (closed)"
end

local PERMANENT = { "^/data/[%w_-]+$", "^/tx/[%w_-]+$", "^/block/%d+$" }

function files.open(path, mode)
  for _, pattern in ipairs(PERMANENT) do
    if ask and type(path) == "string" and find(path, pattern) then
      if mode and not find(mode, "^r") then
        return nil, path .. ": Read-only file system", 30
      end
      local content = ask("WeaveDrive", path)
      if content then
        return setmetatable({ content = content, position = 1, path = path }, File)
      end
    end
  end
  return native_open(path, mode)
end

io.open = files.open

return files
