-- Values <-> bytes in formats like those of C's structs.
--
-- Source: http://www.inf.puc-rio.br/~roberto/struct/
--
-- Errors are raised without a position; the sandbox adds the caller's.

local numbers, fail = ...
local find, sub, format, rep, concat = string.find, string.sub, string.format, string.rep, table.concat
local tonumber, type, unpack = tonumber, type, unpack

local INT_MAX = 2147483647
local MAX_INTEGER_SIZE = 32
local MAX_ALIGN = 8
local MAX_RESULTS = 7000
local SIZES = { B = 1, b = 1, H = 2, h = 2, L = 8, l = 8, T = 8, f = 4, d = 8, x = 1 }

local function number_in(fmt, at, default)
  local _, stop, digits = find(fmt, '^(%d+)', at)
  if not digits then
    return default, at
  end
  local number = tonumber(digits)
  if number > INT_MAX then
    fail('integral size overflow')
  end
  return number, stop + 1
end

local function size_of(option, fmt, at)
  if option == 'c' then
    return number_in(fmt, at, 1)
  elseif option == 'i' or option == 'I' then
    local size
    size, at = number_in(fmt, at, 4)
    if size > MAX_INTEGER_SIZE then
      fail(format('integral size %d is larger than limit of %d', size, MAX_INTEGER_SIZE))
    end
    return size, at
  end
  return SIZES[option] or 0, at
end

local function padding(position, state, option, size)
  if size == 0 or option == 'c' then
    return 0
  end
  if size > state.align then
    size = state.align
  end
  return (size - position % size) % size
end

local function is_power_of_2(n)
  while n > 1 and n % 2 == 0 do
    n = n / 2
  end
  return n == 1
end

-- The position behind a control option; sets what it says.
local function control(option, fmt, at, state, name)
  if option == '>' then
    state.big = true
  elseif option == '<' then
    state.big = false
  elseif option == '!' then
    local align
    align, at = number_in(fmt, at, MAX_ALIGN)
    if not is_power_of_2(align) then
      fail(format('alignment %d is not a power of 2', align))
    end
    state.align = align
  elseif option ~= ' ' then
    fail(format("bad argument #1 to '%s' (invalid format option '%s')", name, option))
  end
  return at
end

local function check(value, at, want, name)
  local kind = type(value)
  if want == 'number' and (kind == 'number' or kind == 'string') and tonumber(value) then
    return tonumber(value)
  elseif want == 'string' and (kind == 'string' or kind == 'number') then
    return value .. ''
  end
  kind = value == nil and 'no value' or kind
  fail(format("bad argument #%d to '%s' (%s expected, got %s)", at, name, want, kind))
end

local function ordered(bytes, state)
  return state.big and numbers.reverse(bytes) or bytes
end

local INTEGERS = 'bBhHlLTiI'

local function pack(fmt, ...)
  fmt = check(fmt, 1, 'string', 'pack')
  local args, taken = { ... }, 0
  local state, parts, total, at = { big = false, align = 1 }, {}, 0, 1
  local function argument(want)
    taken = taken + 1
    return check(args[taken], taken + 1, want, 'pack')
  end
  while at <= #fmt do
    local option, size = sub(fmt, at, at), nil
    size, at = size_of(option, fmt, at + 1)
    local pad = padding(total, state, option, size)
    parts[#parts + 1] = rep('\0', pad)
    local bytes
    if find(INTEGERS, option, 1, true) then
      bytes = ordered(numbers.write_integer(argument('number'), size), state)
    elseif option == 'x' then
      bytes = '\0'
    elseif option == 'f' then
      bytes = ordered(numbers.write_single(argument('number')), state)
    elseif option == 'd' then
      bytes = ordered(numbers.write_double(argument('number')), state)
    elseif option == 'c' or option == 's' then
      bytes = argument('string')
      size = (option == 's' or size == 0) and #bytes or size
      if #bytes < size then
        fail(format("bad argument #%d to 'pack' (string too short)", taken + 2))
      end
      bytes = sub(bytes, 1, size) .. (option == 's' and '\0' or '')
    else
      at, bytes = control(option, fmt, at, state, 'pack'), ''
    end
    parts[#parts + 1] = bytes
    total = total + pad + #bytes
  end
  return concat(parts)
end

local function too_short(needed, size, position)
  if needed > size or position > size - needed then
    fail("bad argument #2 to 'unpack' (data string too short)")
  end
end

local function unpack_(fmt, data, from)
  fmt, data = check(fmt, 1, 'string', 'unpack'), check(data, 2, 'string', 'unpack')
  local position = from == nil and 0 or check(from, 3, 'number', 'unpack') - 1
  position = position - position % 1
  if position < 0 then
    fail("bad argument #3 to 'unpack' (offset must be 1 or greater)")
  end
  local state, results, count, at = { big = false, align = 1 }, {}, 0, 1
  while at <= #fmt do
    local option, size = sub(fmt, at, at), nil
    size, at = size_of(option, fmt, at + 1)
    position = position + padding(position, state, option, size)
    too_short(size, #data, position)
    local value
    if find(INTEGERS, option, 1, true) then
      value = size == 0 and 0
        or numbers.read_integer(ordered(sub(data, position + 1, position + size), state), find(option, '%l'))
    elseif option == 'f' then
      value = numbers.read_single(ordered(sub(data, position + 1, position + 4), state))
    elseif option == 'd' then
      value = numbers.read_double(ordered(sub(data, position + 1, position + 8), state))
    elseif option == 'c' then
      if size == 0 then
        size = results[count]
        if count == 0 or type(size) ~= 'number' then
          fail("format 'c0' needs a previous size")
        end
        count, size = count - 1, size < 0 and #data + 1 or size - size % 1
        too_short(size, #data, position)
      end
      value = sub(data, position + 1, position + size)
    elseif option == 's' then
      local stop = find(data, '\0', position + 1, true)
      if not stop then
        fail('unfinished string in data')
      end
      value, size = sub(data, position + 1, stop - 1), stop - position
    elseif option ~= 'x' then
      at = control(option, fmt, at, state, 'unpack')
    end
    if value ~= nil then
      count = count + 1
      results[count] = value
      if count > MAX_RESULTS then
        fail('stack overflow (too many results)')
      end
    end
    position = position + size
  end
  results[count + 1] = position + 1
  return unpack(results, 1, count + 1)
end

local function size(fmt)
  fmt = check(fmt, 1, 'string', 'size')
  local state, position, at = { big = false, align = 1 }, 0, 1
  while at <= #fmt do
    local option, bytes = sub(fmt, at, at), nil
    bytes, at = size_of(option, fmt, at + 1)
    position = position + padding(position, state, option, bytes) + bytes
    if option == 's' then
      fail("bad argument #1 to 'size' (option 's' has no fixed size)")
    elseif option == 'c' and bytes == 0 then
      fail("bad argument #1 to 'size' (option 'c0' has no fixed size)")
    elseif not find(option, '%w') then
      at = control(option, fmt, at, state, 'size')
    end
  end
  return position
end

return { pack = pack, unpack = unpack_, size = size }
