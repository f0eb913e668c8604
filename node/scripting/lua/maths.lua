-- Lua's math with random numbers that are the same on every machine: those of drand48.

local error, type, tonumber, select, next = error, type, tonumber, select, next
local floor, format = math.floor, string.format

local A_HIGH, A_LOW, C = 0x5DE, 0xECE66D, 0xB
local TWO24 = 2 ^ 24
local seed_high, seed_low = 0x1234AB, 0xCD330E

local function seed(n)
  n = n % 2 ^ 32
  seed_high, seed_low = floor(n / 256), (n % 256) * 65536 + 0x330E
end

local function random_31_bits()
  local low = A_LOW * seed_low + C
  local high = A_LOW * seed_high + A_HIGH * seed_low + floor(low / TWO24)
  seed_high, seed_low = high % TWO24, low % TWO24
  return seed_high * 128 + floor(seed_low / 2 ^ 17)
end

local maths = {}
for name, f in next, math do
  maths[name] = f
end

local function whole(value, at)
  local number = tonumber(value)
  if not number then
    error(format("bad argument #%d to 'random' (number expected, got %s)", at, type(value)), 3)
  end
  return number < 0 and -floor(-number) or floor(number)
end

function maths.random(...)
  local r = random_31_bits() % 2147483647 / 2147483647
  local count, low, high = select('#', ...), ...
  if count == 0 then
    return r
  elseif count == 1 then
    low, high = 1, whole(low, 1)
  elseif count == 2 then
    low, high = whole(low, 1), whole(high, 2)
  else
    error('wrong number of arguments', 2)
  end
  if low > high then
    error(format("bad argument #%d to 'random' (interval is empty)", count), 2)
  end
  return floor(r * (high - low + 1)) + low
end

function maths.randomseed(n)
  seed(whole(n, 1))
end

return maths
