-- Integers of a fixed width, two's complement, wrapping like machine integers: `require(".bint")(256)`.
-- A number is a table of 32-bit words, the lowest first. Token programs call this on each transfer, so words that
-- fit in a Lua integer take short ways.

local ceil, floor, format, math_type, tointeger = math.ceil, math.floor, string.format, math.type, math.tointeger
local find, match, rep, sub = string.find, string.match, string.rep, string.sub
local pack, reverse, unpack, abs, huge = string.pack, string.reverse, string.unpack, math.abs, math.huge
local assert, error, getmetatable, next = assert, error, getmetatable, next
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type

local WORD = 0xFFFFFFFF
local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

-- Digits of `base` that fit in one word-sized step, and their weight.
local function step_of(base)
  local count, weight = 1, base
  while weight * base <= 0x7FFFFFFF do
    count, weight = count + 1, weight * base
  end
  return count, weight
end

local function power(base, exponent)
  local value = 1
  for _ = 1, exponent do
    value = value * base
  end
  return value
end

local function build(bits)
  assert(math_type(bits) == "integer" and bits >= 64 and bits % 32 == 0, "the width must be a multiple of 32, from 64")

  local SIZE = bits // 32
  local bint = { bits = bits }
  bint.__index = bint

  local function is_bint(x)
    return getmetatable(x) == bint
  end

  -- Making ----------------------------------------------------------------------------------------------------------

  local function filled(word)
    local x = {}
    for i = 1, SIZE do
      x[i] = word
    end
    return setmetatable(x, bint)
  end

  local function copy(x)
    local y = {}
    for i = 1, SIZE do
      y[i] = x[i]
    end
    return setmetatable(y, bint)
  end

  local function from_words(low, high, rest)
    local x = { low, high }
    for i = 3, SIZE do
      x[i] = rest
    end
    return setmetatable(x, bint)
  end

  -- The Lua integer `n` with its sign; `fromuinteger` takes its 64 bits as unsigned.
  local function from_integer(n)
    return from_words(n & WORD, n >> 32, n < 0 and WORD or 0)
  end

  function bint.frominteger(n)
    n = tointeger(n)
    return n and from_integer(n)
  end

  function bint.fromuinteger(n)
    n = tointeger(n)
    return n and from_words(n & WORD, n >> 32, 0)
  end

  function bint.zero()
    return filled(0)
  end

  function bint.one()
    return from_words(1, 0, 0)
  end

  function bint.maxinteger()
    local x = filled(WORD)
    x[SIZE] = 0x7FFFFFFF
    return x
  end

  function bint.mininteger()
    local x = filled(0)
    x[SIZE] = 0x80000000
    return x
  end

  -- x = x * factor + more, in place; both at most a word.
  local function multiply_add(x, factor, more)
    for i = 1, SIZE do
      local wide = x[i] * factor + more
      x[i] = wide & WORD
      more = wide >> 32
    end
  end

  local function negate(x)
    local carry = 1
    for i = 1, SIZE do
      local word = (~x[i] & WORD) + carry
      x[i] = word & WORD
      carry = word >> 32
    end
    return x
  end

  -- The integer written in `text`, sign allowed, in `base` (2 to 36, 10 when absent); nil when it is not one.
  function bint.frombase(text, base)
    base = base or 10
    if type(text) ~= "string" or base < 2 or base > 36 then
      return nil
    end
    local sign, digits = match(text, "^([+-]?)(%w+)$")
    if not digits then
      return nil
    end
    local count, weight = step_of(base)
    local x = filled(0)
    for start = 1, #digits, count do
      local part = sub(digits, start, start + count - 1)
      local value = tonumber(part, base)
      if not value then
        return nil
      end
      multiply_add(x, #part == count and weight or power(base, #part), value)
    end
    return sign == "-" and negate(x) or x
  end

  -- Decimal, `0x` or `0b` text with an optional sign; nil when it is anything else.
  function bint.fromstring(text)
    if type(text) ~= "string" then
      return nil
    end
    if find(text, "^[+-]?%d+$") then
      if #text <= 18 then
        return from_integer(tointeger(tonumber(text)))
      end
      return bint.frombase(text, 10)
    end
    local sign, digits = match(text, "^([+-]?)0[xX](%x+)$")
    if digits then
      return bint.frombase(sign .. digits, 16)
    end
    sign, digits = match(text, "^([+-]?)0[bB]([01]+)$")
    return digits and bint.frombase(sign .. digits, 2) or nil
  end

  -- Bytes, lowest first (`fromle`) or highest first (`frombe`); missing ones count as zero.
  function bint.fromle(bytes)
    if #bytes < SIZE * 4 then
      bytes = bytes .. rep("\0", SIZE * 4 - #bytes)
    end
    local x = {}
    for i = 1, SIZE do
      x[i] = unpack("<I4", bytes, i * 4 - 3)
    end
    return setmetatable(x, bint)
  end

  function bint.frombe(bytes)
    return bint.fromle(reverse(bytes))
  end

  -- `x` as a bint, or nil when it has no integer value. A bint is returned as it is unless `clone`.
  function bint.tobint(x, clone)
    if is_bint(x) then
      return clone and copy(x) or x
    end
    local kind = type(x)
    if kind == "number" then
      if math_type(x) == "integer" then
        return from_integer(x)
      elseif x ~= x or x == huge or x == -huge or floor(x) ~= x then
        return nil
      end
      local n = tointeger(x)
      return n and from_integer(n) or bint.fromstring(format("%.0f", x))
    elseif kind == "string" then
      return bint.fromstring(x)
    end
  end

  -- Like `tobint`, but a number without integer value comes back as it is.
  function bint.parse(x, clone)
    local value = bint.tobint(x, clone)
    if value ~= nil then
      return value
    end
    return tonumber(x)
  end

  function bint.new(x)
    local value = bint.tobint(x, true)
    assert(value, "value cannot be represented by a bint")
    return value
  end

  -- The part of a number before its point.
  function bint.trunc(x)
    if math_type(x) == "float" then
      return bint.tobint(x < 0 and ceil(x) or floor(x))
    end
    return bint.tobint(x, true)
  end

  -- Reading ---------------------------------------------------------------------------------------------------------

  local function is_negative(x)
    return x[SIZE] & 0x80000000 ~= 0
  end

  -- Whether x fits a Lua integer.
  local function is_short(x)
    local rest = x[2] & 0x80000000 ~= 0 and WORD or 0
    for i = 3, SIZE do
      if x[i] ~= rest then
        return false
      end
    end
    return true
  end

  local function is_zero(x)
    for i = 1, SIZE do
      if x[i] ~= 0 then
        return false
      end
    end
    return true
  end

  -- The low 64 bits as a Lua integer.
  local function low_integer(x)
    return x[2] << 32 | x[1]
  end

  function bint.tointeger(x)
    if is_bint(x) then
      return low_integer(x)
    end
    return tointeger(tonumber(x))
  end

  bint.touinteger = bint.tointeger

  -- Divides the words of x by a number of at most 31 bits, in place; returns the remainder.
  local function divide_small(x, divisor, size)
    local remainder = 0
    for i = size, 1, -1 do
      local wide = remainder << 32 | x[i]
      x[i] = wide // divisor
      remainder = wide % divisor
    end
    return remainder
  end

  local function digits_of(value, base, width)
    if base == 10 then
      return format(width and "%09d" or "%d", value)
    end
    local text = ""
    repeat
      local digit = value % base
      text = sub(DIGITS, digit + 1, digit + 1) .. text
      value = value // base
    until value == 0
    return width and rep("0", width - #text) .. text or text
  end

  -- The text of x in `base`. Negative numbers get a sign in base 10 and, unless `unsigned` is false, show their bits
  -- in the others.
  function bint.tobase(x, base, unsigned)
    x = bint.tobint(x)
    base = base or 10
    if not x or base < 2 or base > 36 then
      return nil
    end
    if unsigned == nil then
      unsigned = base ~= 10
    end
    if base == 10 and not unsigned and is_short(x) then
      return format("%d", low_integer(x))
    end
    local negative = not unsigned and is_negative(x)
    local rest = copy(x)
    if negative then
      negate(rest)
    end
    local width, weight = step_of(base)
    local size, parts = SIZE, {}
    while true do
      while size > 0 and rest[size] == 0 do
        size = size - 1
      end
      if size == 0 then
        break
      end
      local part = divide_small(rest, weight, size)
      while size > 0 and rest[size] == 0 do
        size = size - 1
      end
      parts[#parts + 1] = digits_of(part, base, size > 0 and width or nil)
    end
    if #parts == 0 then
      return "0"
    end
    local text = {}
    for i = #parts, 1, -1 do
      text[#text + 1] = parts[i]
    end
    return (negative and "-" or "") .. table.concat(text)
  end

  function bint.__tostring(x)
    return bint.tobase(x, 10, false)
  end

  -- A Lua integer when it fits, else the nearest float.
  function bint.tonumber(x)
    if not is_bint(x) then
      return tonumber(x)
    elseif is_short(x) then
      return low_integer(x)
    end
    return tonumber(bint.tobase(x, 10, false) .. ".0")
  end

  function bint.tole(x, trim)
    x = bint.tobint(x)
    local parts = {}
    for i = 1, SIZE do
      parts[i] = pack("<I4", x[i])
    end
    local bytes = table.concat(parts)
    if trim then
      bytes = match(bytes, "^(.-)\0*$")
      return bytes == "" and "\0" or bytes
    end
    return bytes
  end

  function bint.tobe(x, trim)
    return reverse(bint.tole(x, trim))
  end

  -- Asking ----------------------------------------------------------------------------------------------------------

  bint.isbint = is_bint

  function bint.isintegral(x)
    return is_bint(x) or math_type(x) == "integer"
  end

  function bint.isnumeric(x)
    return is_bint(x) or type(x) == "number"
  end

  -- "bint", "integer", "float" or nil.
  function bint.type(x)
    return is_bint(x) and "bint" or math_type(x)
  end

  function bint.iszero(x)
    if is_bint(x) then
      return is_zero(x)
    end
    return x == 0
  end

  function bint.isone(x)
    return bint.eq(x, 1)
  end

  function bint.isminusone(x)
    return bint.eq(x, -1)
  end

  function bint.isneg(x)
    if is_bint(x) then
      return is_negative(x)
    end
    return x < 0
  end

  function bint.ispos(x)
    return not bint.isneg(x) and not bint.iszero(x)
  end

  function bint.isodd(x)
    if is_bint(x) then
      return x[1] & 1 == 1
    end
    return tointeger(x) % 2 == 1
  end

  function bint.iseven(x)
    return not bint.isodd(x)
  end

  function bint.ismininteger(x)
    return bint.eq(x, bint.mininteger())
  end

  function bint.ismaxinteger(x)
    return bint.eq(x, bint.maxinteger())
  end

  -- Adding ----------------------------------------------------------------------------------------------------------

  local function add(x, y)
    local z, carry = {}, 0
    for i = 1, SIZE do
      local wide = x[i] + y[i] + carry
      z[i] = wide & WORD
      carry = wide >> 32
    end
    return setmetatable(z, bint)
  end

  local function subtract(x, y)
    local z, borrow = {}, 0
    for i = 1, SIZE do
      local wide = x[i] - y[i] - borrow
      z[i] = wide & WORD
      borrow = wide < 0 and 1 or 0
    end
    return setmetatable(z, bint)
  end

  -- Operands of a mixed expression: both as bints, or nil when one has no integer value.
  local function pair(x, y)
    local a, b = bint.tobint(x), bint.tobint(y)
    if a and b then
      return a, b
    end
  end

  -- An operator that works on words when both sides are integers and on floats otherwise.
  local function operator(on_bints, on_numbers)
    return function(x, y)
      if getmetatable(x) == bint and getmetatable(y) == bint then
        return on_bints(x, y)
      end
      local a, b = pair(x, y)
      if a then
        return on_bints(a, b)
      end
      return on_numbers(bint.tonumber(x), bint.tonumber(y))
    end
  end

  bint.__add = operator(add, function(x, y) return x + y end)
  bint.__sub = operator(subtract, function(x, y) return x - y end)

  function bint.__unm(x)
    return negate(copy(x))
  end

  function bint.inc(x)
    return bint.__add(x, 1)
  end

  function bint.dec(x)
    return bint.__sub(x, 1)
  end

  function bint.abs(x)
    local value = bint.tobint(x, true)
    if not value then
      return abs(x)
    end
    return is_negative(value) and negate(value) or value
  end

  -- Comparing -------------------------------------------------------------------------------------------------------

  local function equal(x, y)
    for i = 1, SIZE do
      if x[i] ~= y[i] then
        return false
      end
    end
    return true
  end

  local function below_unsigned(x, y)
    for i = SIZE, 1, -1 do
      if x[i] ~= y[i] then
        return x[i] < y[i]
      end
    end
    return false
  end

  local function below(x, y)
    local negative_x, negative_y = is_negative(x), is_negative(y)
    if negative_x ~= negative_y then
      return negative_x
    end
    return below_unsigned(x, y)
  end

  bint.__lt = operator(below, function(x, y) return x < y end)
  bint.__le = operator(function(x, y) return not below(y, x) end, function(x, y) return x <= y end)
  bint.__eq = operator(equal, function(x, y) return x == y end)
  bint.eq = bint.__eq

  function bint.ult(x, y)
    return below_unsigned(bint.new(x), bint.new(y))
  end

  function bint.ule(x, y)
    return not below_unsigned(bint.new(y), bint.new(x))
  end

  function bint.max(x, y)
    return bint.new(bint.__lt(x, y) and y or x)
  end

  function bint.min(x, y)
    return bint.new(bint.__lt(x, y) and x or y)
  end

  -- Multiplying -----------------------------------------------------------------------------------------------------

  local function length(x)
    local size = SIZE
    while size > 0 and x[size] == 0 do
      size = size - 1
    end
    return size
  end

  local function multiply(x, y)
    local z = filled(0)
    local size_y = length(y)
    for i = 1, length(x) do
      local word, carry = x[i], 0
      local last = i + size_y - 1
      if last > SIZE then
        last = SIZE
      end
      for k = i, last do
        -- A product of words plus two words is at most 2^64 - 1, and >> takes it as unsigned.
        local wide = word * y[k - i + 1] + z[k] + carry
        z[k] = wide & WORD
        carry = wide >> 32
      end
      if last < SIZE then
        z[last + 1] = carry
      end
    end
    return z
  end

  bint.__mul = operator(multiply, function(x, y) return x * y end)

  -- x to the power y; a negative y counts as the unsigned number of the same bits.
  function bint.ipow(x, y)
    local base, exponent, result = bint.new(x), bint.new(y), bint.one()
    for i = 1, length(exponent) do
      local word = exponent[i]
      for _ = 1, 32 do
        if word & 1 == 1 then
          result = multiply(result, base)
        end
        word = word >> 1
        if word == 0 and i == length(exponent) then
          break
        end
        base = multiply(base, base)
      end
    end
    return result
  end

  function bint.__pow(x, y)
    return bint.tonumber(x) ^ bint.tonumber(y)
  end

  -- Dividing --------------------------------------------------------------------------------------------------------

  -- The 16-bit digits of x, lowest first, and how many there are.
  local function halves(x)
    local digits, count = {}, 0
    for i = 1, SIZE do
      digits[2 * i - 1], digits[2 * i] = x[i] & 0xFFFF, x[i] >> 16
    end
    for i = 2 * SIZE, 1, -1 do
      if digits[i] ~= 0 then
        count = i
        break
      end
    end
    return digits, count
  end

  local function from_halves(digits)
    local x = {}
    for i = 1, SIZE do
      x[i] = (digits[2 * i] or 0) << 16 | (digits[2 * i - 1] or 0)
    end
    return setmetatable(x, bint)
  end

  local function shift_digits(digits, count, shift)
    local carry = 0
    for i = 1, count do
      local wide = digits[i] << shift | carry
      digits[i], carry = wide & 0xFFFF, wide >> 16
    end
    digits[count + 1] = carry
  end

  -- Takes quotient_digit * v from u at place j; returns the digit, one less when it was one too large.
  local function take_away(u, v, count, j, guess)
    local borrow, carry = 0, 0
    for i = 1, count do
      local product = guess * v[i] + carry
      carry = product >> 16
      local left = u[j + i - 1] - (product & 0xFFFF) - borrow
      u[j + i - 1], borrow = left & 0xFFFF, left < 0 and 1 or 0
    end
    local top = u[j + count] - carry - borrow
    u[j + count] = top & 0xFFFF
    if top >= 0 then
      return guess
    end
    carry = 0
    for i = 1, count do
      local sum = u[j + i - 1] + v[i] + carry
      u[j + i - 1], carry = sum & 0xFFFF, sum >> 16
    end
    u[j + count] = (u[j + count] + carry) & 0xFFFF
    return guess - 1
  end

  -- Long division, Knuth's algorithm D (The Art of Computer Programming 2, 4.3.1), in 16-bit digits so that
  -- every step stays within a signed Lua integer.
  local function divide_long(x, y)
    local u, count_u = halves(x)
    local v, count = halves(y)
    local shift = 0
    while v[count] << shift < 0x8000 do
      shift = shift + 1
    end
    shift_digits(u, count_u, shift)
    shift_digits(v, count, shift)
    local quotient, top, second = {}, v[count], v[count - 1]
    for j = count_u - count + 1, 1, -1 do
      local head = u[j + count] << 16 | u[j + count - 1]
      local guess, rest = head // top, head % top
      while guess > 0xFFFF or guess * second > (rest << 16 | u[j + count - 2]) do
        guess, rest = guess - 1, rest + top
        if rest > 0xFFFF then
          break
        end
      end
      quotient[j] = take_away(u, v, count, j, guess)
    end
    local remainder = {}
    for i = 1, count do
      remainder[i] = (u[i] >> shift | u[i + 1] << (16 - shift)) & 0xFFFF
    end
    return from_halves(quotient), from_halves(remainder)
  end

  local function divide_unsigned(x, y)
    local size = length(y)
    if size == 0 then
      error("attempt to perform division by zero", 0)
    elseif below_unsigned(x, y) then
      return filled(0), copy(x)
    elseif size == 1 and y[1] <= 0x7FFFFFFF then
      local quotient = copy(x)
      local remainder = divide_small(quotient, y[1], SIZE)
      return quotient, from_words(remainder, 0, 0)
    end
    return divide_long(x, y)
  end

  -- Quotient towards zero, and the remainder with the sign of x.
  local function divide_truncated(x, y)
    local negative_x, negative_y = is_negative(x), is_negative(y)
    local quotient, remainder = divide_unsigned(
      negative_x and negate(copy(x)) or x,
      negative_y and negate(copy(y)) or y
    )
    if negative_x ~= negative_y then
      negate(quotient)
    end
    if negative_x then
      negate(remainder)
    end
    return quotient, remainder
  end

  -- Quotient towards minus infinity, and the remainder with the sign of y: Lua's own `//` and `%`.
  local function divide_floored(x, y)
    local quotient, remainder = divide_truncated(x, y)
    if not is_zero(remainder) and is_negative(remainder) ~= is_negative(y) then
      return subtract(quotient, bint.one()), add(remainder, y)
    end
    return quotient, remainder
  end

  function bint.udivmod(x, y)
    return divide_unsigned(bint.new(x), bint.new(y))
  end

  function bint.udiv(x, y)
    return (divide_unsigned(bint.new(x), bint.new(y)))
  end

  function bint.umod(x, y)
    local _, remainder = divide_unsigned(bint.new(x), bint.new(y))
    return remainder
  end

  function bint.tdivmod(x, y)
    return divide_truncated(bint.new(x), bint.new(y))
  end

  function bint.tdiv(x, y)
    return (divide_truncated(bint.new(x), bint.new(y)))
  end

  function bint.tmod(x, y)
    local _, remainder = divide_truncated(bint.new(x), bint.new(y))
    return remainder
  end

  function bint.idivmod(x, y)
    return divide_floored(bint.new(x), bint.new(y))
  end

  bint.__idiv = operator(function(x, y) return (divide_floored(x, y)) end, function(x, y) return x // y end)
  bint.__mod = operator(function(x, y)
    local _, remainder = divide_floored(x, y)
    return remainder
  end, function(x, y) return x % y end)

  -- Always a float.
  function bint.__div(x, y)
    return bint.tonumber(x) / bint.tonumber(y)
  end

  -- (x ^ y) modulo m, all taken as unsigned. m below 2^(bits/2), or the products wrap.
  function bint.upowmod(x, y, m)
    local modulus = bint.new(m)
    local base, exponent, result = bint.umod(x, modulus), bint.new(y), bint.umod(1, modulus)
    while not is_zero(exponent) do
      if exponent[1] & 1 == 1 then
        result = bint.umod(multiply(result, base), modulus)
      end
      exponent = bint.__shr(exponent, 1)
      base = bint.umod(multiply(base, base), modulus)
    end
    return result
  end

  -- Bits ------------------------------------------------------------------------------------------------------------

  local function bitwise(combine)
    return function(x, y)
      x, y = bint.new(x), bint.new(y)
      for i = 1, SIZE do
        x[i] = combine(x[i], y[i])
      end
      return x
    end
  end

  bint.__band = bitwise(function(a, b) return a & b end)
  bint.__bor = bitwise(function(a, b) return a | b end)
  bint.__bxor = bitwise(function(a, b) return a ~ b end)

  function bint.__bnot(x)
    local y = {}
    for i = 1, SIZE do
      y[i] = ~x[i] & WORD
    end
    return setmetatable(y, bint)
  end

  -- Bits of x moved `count` places up (down when negative), zeros coming in.
  local function shifted(x, count)
    local words, inner = count // 32, count % 32
    local y = {}
    for i = 1, SIZE do
      local high, low = x[i - words] or 0, x[i - words - 1] or 0
      y[i] = (high << inner | low >> (32 - inner)) & WORD
    end
    return setmetatable(y, bint)
  end

  function bint.__shl(x, y)
    return shifted(bint.new(x), bint.tointeger(y))
  end

  function bint.__shr(x, y)
    return shifted(bint.new(x), -bint.tointeger(y))
  end

  local function shift_count(x)
    return bint.tointeger(x) or error("the number of bits should be an integer")
  end

  -- Turned by `count` bits, to the higher ones or to the lower ones: what leaves at one end comes in at the other.
  function bint.brol(x, count)
    x, count = bint.new(x), shift_count(count) % bits
    return count == 0 and copy(x) or shifted(x, count) | shifted(x, count - bits)
  end

  function bint.bror(x, count)
    return bint.brol(x, -shift_count(count))
  end

  -- The lowest `count` bits, as a number without sign.
  function bint.bwrap(x, count)
    return bint.new(x) & (bint.one() << shift_count(count)) - 1
  end

  function bint.floor(x)
    return is_bint(x) and copy(x) or bint.new(floor(tonumber(x)))
  end

  function bint.ceil(x)
    return is_bint(x) and copy(x) or bint.new(ceil(tonumber(x)))
  end

  -- The same in place, as methods that give their number back.
  local in_place = {
    _assign = function(_, y) return bint.new(y) end,
    _add = bint.__add,
    _sub = bint.__sub,
    _inc = bint.inc,
    _dec = bint.dec,
    _abs = bint.abs,
    _unm = bint.__unm,
    _band = bint.__band,
    _bor = bint.__bor,
    _bxor = bint.__bxor,
    _bnot = bint.__bnot,
    _shlone = function(x) return shifted(x, 1) end,
    _shrone = function(x) return shifted(x, -1) end,
    _shlwords = function(x, count) return shifted(x, 32 * count) end,
    _shrwords = function(x, count) return shifted(x, -32 * count) end,
  }
  for name, change in next, in_place do
    bint[name] = function(x, y)
      local result = bint.new(change(x, y))
      for i = 1, SIZE do
        x[i] = result[i]
      end
      return x
    end
  end

  function bint.__concat(x, y)
    return tostring(x) .. tostring(y)
  end

  return setmetatable(bint, {
    __call = function(_, x)
      return bint.new(x)
    end,
  })
end

-- One library per width: numbers of one width must share their metatable.
local built = {}

return function(bits)
  bits = bits or 256
  if not built[bits] then
    built[bits] = build(bits)
  end
  return built[bits]
end
