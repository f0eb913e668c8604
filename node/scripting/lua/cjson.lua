-- JSON, as Redis's cjson writes and reads it.
--
-- Source: https://kyne.com.au/~mark/software/lua-cjson-manual.html; RFC 8259
--
-- Errors are raised without a position; the sandbox adds the caller's.

local null, fail = ...
local byte, char, find, sub, gsub, format = string.byte, string.char, string.find, string.sub, string.gsub, string.format
local concat, floor = table.concat, math.floor
local type, next, select, tonumber, tostring, rawget = type, next, select, tonumber, tostring, rawget

local SPARSE_RATIO, SPARSE_SAFE = 2, 10
local UNTIL_TOLD = { encode_max_depth = 1000, decode_max_depth = 1000, encode_number_precision = 14 }
local options = UNTIL_TOLD -- what the script that runs has asked for

local ESCAPED = { ['"'] = '\\"', ['\\'] = '\\\\', ['/'] = '\\/' }
for code = 0, 31 do
  ESCAPED[char(code)] = format('\\u%04x', code)
end
ESCAPED['\b'], ESCAPED['\f'], ESCAPED['\n'], ESCAPED['\r'], ESCAPED['\t'] = '\\b', '\\f', '\\n', '\\r', '\\t'
ESCAPED['\127'] = '\\u007f'

local parts, count -- of what is being written

local function put(text)
  count = count + 1
  parts[count] = text
end

local function put_string(text)
  put('"')
  put((gsub(text, '[%z\1-\31"\\/\127]', ESCAPED)))
  put('"')
end

local function number_text(n)
  if n ~= n or n == 1 / 0 or n == -1 / 0 then
    fail('Cannot serialise number: must not be NaN or Inf')
  end
  return format('%.' .. options.encode_number_precision .. 'g', n)
end

-- The length of a table that is written as an array, else nil.
local function array_length(t)
  local size, largest = 0, 0
  for key in next, t do
    if type(key) ~= 'number' or key <= 0 or key ~= floor(key) then
      return nil
    end
    size = size + 1
    largest = key > largest and key or largest
  end
  if largest > size * SPARSE_RATIO and largest > SPARSE_SAFE then
    fail('Cannot serialise table: excessively sparse array')
  end
  return largest
end

local put_value

local function put_object(t, depth)
  put('{')
  local comma = false
  for key, value in next, t do
    if comma then
      put(',')
    end
    comma = true
    if type(key) == 'number' then
      put('"' .. number_text(key) .. '":')
    elseif type(key) == 'string' then
      put_string(key)
      put(':')
    else
      fail('Cannot serialise table: table key must be a number or string')
    end
    put_value(value, depth)
  end
  put('}')
end

local function put_table(t, depth)
  if depth > options.encode_max_depth then
    fail(format('Cannot serialise, excessive nesting (%d)', depth))
  end
  local length = array_length(t)
  if not length or length == 0 then
    return put_object(t, depth)
  end
  put('[')
  for i = 1, length do
    if i > 1 then
      put(',')
    end
    put_value(rawget(t, i), depth)
  end
  put(']')
end

function put_value(value, depth)
  local kind = type(value)
  if kind == 'string' then
    put_string(value)
  elseif kind == 'number' then
    put(number_text(value))
  elseif kind == 'boolean' then
    put(value and 'true' or 'false')
  elseif value == nil or value == null then
    put('null')
  elseif kind == 'table' then
    put_table(value, depth + 1)
  else
    fail('Cannot serialise ' .. kind .. ': type not supported')
  end
end

local function encode(...)
  if select('#', ...) ~= 1 then
    fail("bad argument #1 to 'encode' (expected 1 argument)")
  end
  parts, count = {}, 0
  put_value((...), 0)
  local text = concat(parts)
  parts = nil
  return text
end

-- Reading: each function takes the text and the position of its first character, and gives the value and the
-- position behind it.

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xc0 + floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

local NAMES = {
  ['{'] = 'T_OBJ_BEGIN', ['}'] = 'T_OBJ_END', ['['] = 'T_ARR_BEGIN', [']'] = 'T_ARR_END', [','] = 'T_COMMA', [':'] = 'T_COLON',
}

local function found(s, at)
  local text = sub(s, at, at)
  if text == '' then
    return 'T_END'
  elseif NAMES[text] then
    return NAMES[text]
  elseif text == '"' then
    return 'T_STRING'
  elseif find(s, '^-?%d', at) then
    return 'T_NUMBER'
  elseif find(s, '^true', at) or find(s, '^false', at) then
    return 'T_BOOLEAN'
  elseif find(s, '^null', at) then
    return 'T_NULL'
  end
  return 'invalid token'
end

local function expected(what, s, at)
  fail(format('Expected %s but found %s at character %d', what, found(s, at), at))
end

local UNESCAPED = { b = '\b', f = '\f', n = '\n', r = '\r', t = '\t', ['"'] = '"', ['\\'] = '\\', ['/'] = '/' }

local function unicode_escape(s, at)
  local _, stop, digits = find(s, '^u(%x%x%x%x)', at)
  if not digits then
    fail(format('Expected value but found invalid unicode escape code at character %d', at - 1))
  end
  local code = tonumber(digits, 16)
  if code >= 0xd800 and code < 0xdc00 then
    local _, low_stop, low_digits = find(s, '^\\u(%x%x%x%x)', stop + 1)
    local low = low_digits and tonumber(low_digits, 16)
    if not low or low < 0xdc00 or low > 0xdfff then
      fail(format('Expected value but found invalid unicode escape code at character %d', at - 1))
    end
    return utf8(0x10000 + (code - 0xd800) * 1024 + low - 0xdc00), low_stop + 1
  elseif code >= 0xdc00 and code < 0xe000 then
    fail(format('Expected value but found invalid unicode escape code at character %d', at - 1))
  end
  return utf8(code), stop + 1
end

local function get_string(s, at)
  local from = at + 1
  local pieces
  while true do
    local stop = find(s, '["\\%z\1-\31]', from)
    local kind = stop and byte(s, stop)
    if kind == 34 then -- "
      local last = sub(s, from, stop - 1)
      if not pieces then
        return last, stop + 1
      end
      pieces[#pieces + 1] = last
      return concat(pieces), stop + 1
    elseif kind ~= 92 then -- no backslash
      fail(format('Expected value but found unexpected end of string at character %d', stop or #s + 1))
    end
    pieces = pieces or {}
    pieces[#pieces + 1] = sub(s, from, stop - 1)
    local escape = sub(s, stop + 1, stop + 1)
    if escape == 'u' then
      pieces[#pieces + 1], from = unicode_escape(s, stop + 1)
    elseif UNESCAPED[escape] then
      pieces[#pieces + 1], from = UNESCAPED[escape], stop + 2
    else
      fail(format('Expected value but found invalid escape code at character %d', stop))
    end
  end
end

local function get_number(s, at)
  local _, stop = find(s, '^-?%d+%.?%d*', at)
  if find(s, '^-?0%d', at) or find(s, '^-?0[xX]', at) then
    fail(format('Expected value but found invalid number at character %d', at))
  end
  local _, exponent = find(s, '^[eE][+-]?%d+', stop + 1)
  stop = exponent or stop
  return tonumber(sub(s, at, stop)), stop + 1
end

local function skip(s, at)
  local _, stop = find(s, '^[ \t\r\n]*', at)
  return stop + 1
end

local get_value

local function deeper(depth, at)
  if depth >= options.decode_max_depth then
    fail(format('Found too many nested data structures (%d) at character %d', depth + 1, at))
  end
  return depth + 1
end

local function get_object(s, at, depth)
  depth = deeper(depth, at)
  local object = {}
  at = skip(s, at + 1)
  if byte(s, at) == 125 then -- }
    return object, at + 1
  end
  while true do
    if byte(s, at) ~= 34 then -- "
      expected('object key string', s, at)
    end
    local key
    key, at = get_string(s, at)
    at = skip(s, at)
    if byte(s, at) ~= 58 then -- :
      expected('colon', s, at)
    end
    object[key], at = get_value(s, skip(s, at + 1), depth)
    at = skip(s, at)
    local kind = byte(s, at)
    if kind == 125 then -- }
      return object, at + 1
    elseif kind ~= 44 then -- ,
      expected('comma or object end', s, at)
    end
    at = skip(s, at + 1)
  end
end

local function get_array(s, at, depth)
  depth = deeper(depth, at)
  local items, size = {}, 0
  at = skip(s, at + 1)
  if byte(s, at) == 93 then -- ]
    return items, at + 1
  end
  while true do
    size = size + 1
    items[size], at = get_value(s, at, depth)
    at = skip(s, at)
    local kind = byte(s, at)
    if kind == 93 then -- ]
      return items, at + 1
    elseif kind ~= 44 then -- ,
      expected('comma or array end', s, at)
    end
    at = skip(s, at + 1)
  end
end

function get_value(s, at, depth)
  local kind = byte(s, at)
  if kind == 34 then -- "
    return get_string(s, at)
  elseif kind == 123 then -- {
    return get_object(s, at, depth)
  elseif kind == 91 then -- [
    return get_array(s, at, depth)
  elseif find(s, '^-?%d', at) then
    return get_number(s, at)
  elseif find(s, '^true', at) then
    return true, at + 4
  elseif find(s, '^false', at) then
    return false, at + 5
  elseif find(s, '^null', at) then
    return null, at + 4
  end
  expected('value', s, at)
end

local function decode(...)
  local s = ...
  if select('#', ...) ~= 1 then
    fail("bad argument #1 to 'decode' (expected 1 argument)")
  elseif type(s) == 'number' then
    s = tostring(s)
  elseif type(s) ~= 'string' then
    fail("bad argument #1 to 'decode' (string expected, got " .. type(s) .. ')')
  end
  if #s >= 2 and (byte(s, 1) == 0 or byte(s, 2) == 0) then
    fail('JSON parser does not support UTF-16 or UTF-32')
  end
  local value, at = get_value(s, skip(s, 1), 0)
  at = skip(s, at)
  if at <= #s then
    expected('the end', s, at)
  end
  return value
end

-- How deep and how precisely: told by a script, it holds for that script's run.
local function option(name, low, high)
  return function(value)
    if value ~= nil then
      local number = tonumber(value)
      if not number or number < low or number > high or number ~= floor(number) then
        fail(format("bad argument #1 to '%s' (expected integer between %d and %d)", name, low, high))
      end
      local before = options
      options = {}
      for each in next, UNTIL_TOLD do
        options[each] = before[each]
      end
      options[name] = number
    end
    return options[name]
  end
end

local function forget_options()
  options = UNTIL_TOLD
end

return {
  encode = encode,
  decode = decode,
  encode_max_depth = option('encode_max_depth', 1, 1000),
  decode_max_depth = option('decode_max_depth', 1, 1000),
  encode_number_precision = option('encode_number_precision', 1, 14),
}, forget_options
