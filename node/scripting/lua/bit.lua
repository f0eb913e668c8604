-- Operations on 32 bits, as LuaBitOp has them: numbers are taken modulo 2^32, results are signed.
--
-- Source: https://bitop.luajit.org/api.html
--
-- Lua 5.1 has no such operators: two bytes at a time are looked up.

local floor, tonumber, type, error, select = math.floor, tonumber, type, error, select
local format, sub = string.format, string.sub

local TWO32, TWO31 = 2 ^ 32, 2 ^ 31

local function bits_of(n, op)
  local result, bit = 0, 1
  for _ = 1, 4 do
    local a, b = n % 2, floor(n / 16) % 2
    if op(a, b) then
      result = result + bit
    end
    n, bit = floor(n / 2), bit * 2
  end
  return result
end

local function table_of(op)
  local t = {}
  for low = 0, 15 do
    for high = 0, 15 do
      t[high * 16 + low] = bits_of(high * 16 + low, op)
    end
  end
  return t
end

local AND = table_of(function(a, b) return a == 1 and b == 1 end)
local OR = table_of(function(a, b) return a == 1 or b == 1 end)
local XOR = table_of(function(a, b) return a ~= b end)

local function argument(value, at, name)
  local number = (type(value) == 'number' or type(value) == 'string') and tonumber(value)
  if not number then
    local what = value == nil and 'no value' or type(value)
    error(format("bad argument #%d to '%s' (number expected, got %s)", at, name, what), 3)
  end
  if number ~= number or number == 1 / 0 or number == -1 / 0 then
    return 0
  end
  local whole = floor(number)
  local rest = number - whole
  if rest > 0.5 or (rest == 0.5 and whole % 2 == 1) then
    whole = whole + 1
  end
  return whole % TWO32
end

local function signed(n)
  return n >= TWO31 and n - TWO32 or n
end

local function combine(t, a, b)
  local result, scale = 0, 1
  for _ = 1, 8 do
    local low, high = a % 16, b % 16
    result = result + t[high * 16 + low] * scale
    a, b, scale = (a - low) / 16, (b - high) / 16, scale * 16
  end
  return result
end

local function folding(t, name)
  return function(...)
    local result = argument((...), 1, name)
    for at = 2, select('#', ...) do
      result = combine(t, result, argument((select(at, ...)), at, name))
    end
    return signed(result)
  end
end

local function shift_left(a, n)
  return (a % 2 ^ (32 - n)) * 2 ^ n
end

local function shift_right(a, n)
  return floor(a / 2 ^ n)
end

local function shifting(name, shift)
  return function(a, n)
    return signed(shift(argument(a, 1, name), argument(n, 2, name) % 32))
  end
end

local bit = {}

function bit.tobit(a)
  return signed(argument(a, 1, 'tobit'))
end

function bit.bnot(a)
  return signed(TWO32 - 1 - argument(a, 1, 'bnot'))
end

function bit.bswap(a)
  a = argument(a, 1, 'bswap')
  local result = 0
  for _ = 1, 4 do
    result, a = result * 256 + a % 256, floor(a / 256)
  end
  return signed(result)
end

function bit.tohex(a, n)
  a = argument(a, 1, 'tohex')
  n = n == nil and 8 or signed(argument(n, 2, 'tohex'))
  local digits = format(n < 0 and '%08X' or '%08x', a)
  n = n < 0 and -n or n
  return n >= 8 and digits or n == 0 and '' or sub(digits, -n)
end

bit.band, bit.bor, bit.bxor = folding(AND, 'band'), folding(OR, 'bor'), folding(XOR, 'bxor')
bit.lshift, bit.rshift = shifting('lshift', shift_left), shifting('rshift', shift_right)
bit.arshift = shifting('arshift', function(a, n)
  local filled = a >= TWO31 and TWO32 - 2 ^ (32 - n) or 0
  return shift_right(a, n) + filled
end)
bit.rol = shifting('rol', function(a, n)
  return n == 0 and a or shift_left(a, n) + shift_right(a, 32 - n)
end)
bit.ror = shifting('ror', function(a, n)
  return n == 0 and a or shift_right(a, n) + shift_left(a, 32 - n)
end)

return bit
