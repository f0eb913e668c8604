-- MessagePack, as Redis's cmsgpack writes and reads it: a table with the keys 1 to n is an array, any other a
-- map; what is nested more than 16 deep becomes nil.
--
-- Source: https://github.com/msgpack/msgpack/blob/master/spec.md
--
-- Errors are raised without a position; the sandbox adds the caller's.

local numbers, fail = ...
local byte, char, sub, concat, reverse = string.byte, string.char, string.sub, table.concat, string.reverse
local type, select, next, floor, unpack, tonumber = type, select, next, math.floor, unpack, tonumber
local write_integer, read_integer = numbers.write_integer, numbers.read_integer

local MAX_NESTING = 16
local MAX_RESULTS = 7000
local MISSING = 'Missing bytes in input.'
local BAD = 'Bad data format in input.'

local parts, count -- of what is being packed

local function put(text)
  count = count + 1
  parts[count] = text
end

local function big(n, size)
  return reverse(write_integer(n, size))
end

local function put_size(n, small, limit, codes)
  if n < limit then
    put(char(small + n))
  elseif codes[1] and n < 256 then
    put(char(codes[1], n))
  elseif n < 65536 then
    put(char(codes[2]) .. big(n, 2))
  else
    put(char(codes[3]) .. big(n, 4))
  end
end

local STRING, ARRAY, MAP = { 0xd9, 0xda, 0xdb }, { false, 0xdc, 0xdd }, { false, 0xde, 0xdf }

local function put_integer(n)
  if n >= 0 then
    if n < 128 then
      put(char(n))
    elseif n < 256 then
      put(char(0xcc, n))
    elseif n < 65536 then
      put('\205' .. big(n, 2))
    elseif n < 2 ^ 32 then
      put('\206' .. big(n, 4))
    else
      put('\207' .. big(n, 8))
    end
  elseif n >= -32 then
    put(char(256 + n))
  elseif n >= -128 then
    put('\208' .. big(n, 1))
  elseif n >= -32768 then
    put('\209' .. big(n, 2))
  elseif n >= -2 ^ 31 then
    put('\210' .. big(n, 4))
  else
    put('\211' .. big(n, 8))
  end
end

local function put_number(n)
  if n == floor(n) and n >= -2 ^ 63 and n < 2 ^ 63 then
    return put_integer(n)
  end
  local single = numbers.write_single(n)
  if numbers.read_single(single) == n then
    put('\202' .. reverse(single))
  else
    put('\203' .. reverse(numbers.write_double(n)))
  end
end

local function array_size(t)
  local size, largest = 0, 0
  for key in next, t do
    if type(key) ~= 'number' or key <= 0 or key ~= floor(key) then
      return nil
    end
    size = size + 1
    largest = key > largest and key or largest
  end
  return size == largest and size or nil
end

local put_value

local function put_table(t, level)
  local size = array_size(t)
  if size then
    put_size(size, 0x90, 16, ARRAY)
    for i = 1, size do
      put_value(t[i], level + 1)
    end
    return
  end
  size = 0
  for _ in next, t do
    size = size + 1
  end
  put_size(size, 0x80, 16, MAP)
  for key, value in next, t do
    put_value(key, level + 1)
    put_value(value, level + 1)
  end
end

function put_value(value, level)
  local kind = type(value)
  if kind == 'string' then
    put_size(#value, 0xa0, 32, STRING)
    put(value)
  elseif kind == 'number' then
    put_number(value)
  elseif kind == 'boolean' then
    put(value and '\195' or '\194')
  elseif kind == 'table' and level < MAX_NESTING then
    put_table(value, level)
  else
    put('\192')
  end
end

local function pack(...)
  local size = select('#', ...)
  if size == 0 then
    fail("bad argument #0 to 'pack' (MessagePack pack needs input.)")
  end
  parts, count = {}, 0
  for i = 1, size do
    put_value((select(i, ...)), 0)
  end
  local packed = concat(parts)
  parts = nil
  return packed
end

local get_value

local function bytes_at(s, at, size)
  if at + size - 1 > #s then
    fail(MISSING)
  end
  return sub(s, at, at + size - 1), at + size
end

local function get_integer(s, at, size, signed)
  local bytes
  bytes, at = bytes_at(s, at, size)
  return read_integer(reverse(bytes), signed), at
end

local function get_array(s, at, size)
  local items = {}
  for i = 1, size do
    items[i], at = get_value(s, at)
  end
  return items, at
end

local function get_map(s, at, size)
  local map = {}
  for _ = 1, size do
    local key, value
    key, at = get_value(s, at)
    value, at = get_value(s, at)
    if key == nil or key ~= key then
      fail(BAD)
    end
    map[key] = value
  end
  return map, at
end

local SIZES = {
  [0xd9] = 1, [0xda] = 2, [0xdb] = 4, [0xc4] = 1, [0xc5] = 2, [0xc6] = 4, [0xdc] = 2, [0xdd] = 4, [0xde] = 2, [0xdf] = 4,
}
local DEPTH = 0
local MAX_DEPTH = 1000 -- arrays in arrays of what is read

local function get_long(s, at, code)
  local size = SIZES[code]
  if not size then
    fail(BAD)
  end
  size, at = get_integer(s, at, size)
  if code >= 0xde then
    return get_map(s, at, size)
  elseif code >= 0xdc then
    return get_array(s, at, size)
  end
  return bytes_at(s, at, size)
end

local function get_by_code(s, at, code)
  if code < 0x80 then
    return code, at
  elseif code < 0x90 then
    return get_map(s, at, code - 0x80)
  elseif code < 0xa0 then
    return get_array(s, at, code - 0x90)
  elseif code < 0xc0 then
    return bytes_at(s, at, code - 0xa0)
  elseif code >= 0xe0 then
    return code - 256, at
  elseif code == 0xc0 then
    return nil, at
  elseif code == 0xc2 or code == 0xc3 then
    return code == 0xc3, at
  elseif code == 0xca then
    local bytes
    bytes, at = bytes_at(s, at, 4)
    return numbers.read_single(reverse(bytes)), at
  elseif code == 0xcb then
    local bytes
    bytes, at = bytes_at(s, at, 8)
    return numbers.read_double(reverse(bytes)), at
  elseif code >= 0xcc and code <= 0xcf then
    return get_integer(s, at, 2 ^ (code - 0xcc), false)
  elseif code >= 0xd0 and code <= 0xd3 then
    return get_integer(s, at, 2 ^ (code - 0xd0), true)
  end
  return get_long(s, at, code)
end

function get_value(s, at)
  local code = byte(s, at)
  if not code then
    fail(MISSING)
  end
  DEPTH = DEPTH + 1
  if DEPTH > MAX_DEPTH then
    fail(BAD)
  end
  local value
  value, at = get_by_code(s, at + 1, code)
  DEPTH = DEPTH - 1
  return value, at
end

local function text_of(s)
  if type(s) ~= 'string' and type(s) ~= 'number' then
    fail("bad argument #1 to 'unpack' (string expected, got " .. (s == nil and 'no value' or type(s)) .. ')')
  end
  return s .. ''
end

local function unpack_some(s, limit, offset)
  local at, size, results = offset + 1, 0, {}
  DEPTH = 0
  while at <= #s and (limit == 0 or size < limit) do
    size = size + 1
    results[size], at = get_value(s, at)
    if size > MAX_RESULTS then
      fail('too many results')
    end
  end
  return results, size, at
end

local function unpack_all(s)
  local results, size = unpack_some(text_of(s), 0, 0)
  return unpack(results, 1, size)
end

local function unpack_limit(s, limit, offset)
  s, limit, offset = text_of(s), tonumber(limit) or 0, tonumber(offset) or 0
  if offset < 0 or limit < 0 then
    fail('Invalid request to unpack with offset of ' .. offset .. ' and limit of ' .. #s .. '.')
  elseif offset > #s then
    fail('Start offset ' .. offset .. ' greater than input length ' .. #s .. '.')
  end
  local results, size, at = unpack_some(s, limit, offset)
  return at > #s and -1 or at - 1, unpack(results, 1, size)
end

local function unpack_one(s, offset)
  return unpack_limit(s, 1, offset)
end

return { pack = pack, unpack = unpack_all, unpack_one = unpack_one, unpack_limit = unpack_limit }
