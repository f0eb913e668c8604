-- Numbers <-> bytes, for struct and cmsgpack: integers of up to eight bytes and IEEE 754.

local byte, char, reverse = string.byte, string.char, string.reverse
local floor, frexp, ldexp = math.floor, math.frexp, math.ldexp
local TWO32 = 2 ^ 32

-- An integer in `size` bytes, the low ones first; what does not fit is cut off, as C does it.
local function write_integer(n, size)
  if n ~= n or n >= 2 ^ 63 or n < -2 ^ 63 then
    n = (n > 0 and n < 2 ^ 64) and n or -2 ^ 63
  end
  n = n < 0 and -floor(-n) or floor(n)
  local low, high = n % TWO32, floor(n / TWO32) % TWO32
  local bytes = ''
  for i = 1, size do
    if i == 5 then
      low = high
    elseif i > 8 then
      low = n < 0 and 255 or 0
    end
    bytes = bytes .. char(low % 256)
    low = floor(low / 256)
  end
  return bytes
end

local function read_integer(bytes, signed)
  local n, scale = 0, 1
  for i = 1, #bytes do
    n, scale = n + byte(bytes, i) * scale, scale * 256
  end
  if signed and byte(bytes, #bytes) >= 128 then
    if #bytes < 8 then
      return n - scale
    end
    -- near -2^63 the sum above has lost its low bits: the complement keeps them
    n, scale = 0, 1
    for i = 1, #bytes do
      n, scale = n + (255 - byte(bytes, i)) * scale, scale * 256
    end
    return -n - 1
  end
  return n
end

local function half_even(x)
  local whole = floor(x)
  local rest = x - whole
  if rest > 0.5 or (rest == 0.5 and whole % 2 == 1) then
    whole = whole + 1
  end
  return whole
end

-- `bits` of the fraction and the bias: 52, 1023 for eight bytes; 23, 127 for four.
local function write_float(x, bits, bias, size)
  local sign = (x < 0 or 1 / x < 0) and 1 or 0
  x = x < 0 and -x or x
  local exponent, fraction
  if x ~= x then
    exponent, fraction, sign = 2 * bias + 1, 2 ^ (bits - 1), 0
  elseif x == 1 / 0 then
    exponent, fraction = 2 * bias + 1, 0
  elseif x == 0 then
    exponent, fraction = 0, 0
  else
    local m, e = frexp(x)
    exponent = e - 1 + bias
    if exponent < 1 then
      fraction, exponent = half_even(ldexp(m, e + bits + bias - 1)), 0
    else
      fraction = half_even(ldexp(m, bits + 1)) - 2 ^ bits
    end
    if fraction >= 2 ^ bits then
      fraction, exponent = 0, exponent + 1
    end
    if exponent > 2 * bias then
      exponent, fraction = 2 * bias + 1, 0
    end
  end
  local low, high = fraction % TWO32, floor(fraction / TWO32)
  if size == 4 then
    return write_integer(fraction + exponent * 2 ^ bits + sign * 2 ^ 31, 4)
  end
  return write_integer(low, 4) .. write_integer(high + exponent * 2 ^ (bits - 32) + sign * 2 ^ 31, 4)
end

local function read_float(bytes, bits, bias)
  local last = #bytes
  local sign = byte(bytes, last) >= 128 and -1 or 1
  local exponent_bits = last * 8 - 1 - bits
  local high = (byte(bytes, last) % 128) * 256 + byte(bytes, last - 1)
  local exponent = floor(high / 2 ^ (15 - exponent_bits))
  local fraction = high % 2 ^ (15 - exponent_bits)
  for i = last - 2, 1, -1 do
    fraction = fraction * 256 + byte(bytes, i)
  end
  if exponent == 2 * bias + 1 then
    return fraction == 0 and sign / 0 or 0 / 0
  elseif exponent == 0 then
    return sign * ldexp(fraction, 1 - bias - bits)
  end
  return sign * ldexp(fraction + 2 ^ bits, exponent - bias - bits)
end

return {
  write_integer = write_integer,
  read_integer = read_integer,
  write_double = function(x) return write_float(x, 52, 1023, 8) end,
  write_single = function(x) return write_float(x, 23, 127, 4) end,
  read_double = function(bytes) return read_float(bytes, 52, 1023) end,
  read_single = function(bytes) return read_float(bytes, 23, 127) end,
  reverse = reverse,
}
