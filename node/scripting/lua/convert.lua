-- Replies of commands -> values of Lua, and what a script returns -> a reply; both as bytes of RESP, so that
-- nothing but strings crosses between Lua and Python.
--
-- Source: https://redis.io/docs/interact/programmability/lua-api/, "Data type conversion"

local write_double = ...
local byte, find, sub, format, concat = string.byte, string.find, string.sub, string.format, table.concat
local tonumber, type, rawget, next, error = tonumber, type, rawget, next, error
local gsub = string.gsub

local MAX_DEPTH = 1000 -- of what a script returns
local TOO_DEEP = '-ERR reached lua stack limit\r\n'

-- To format a number takes as long as all else that is done for a short reply.
local HEADS, INTEGERS = {}, {}
for n = 0, 1023 do
  HEADS[n], INTEGERS[n] = format('$%d\r\n', n), format(':%d\r\n', n)
end

local decode_at

local function decode_pairs(s, at, count)
  local map = {}
  for _ = 1, count do
    local key, value
    key, at = decode_at(s, at)
    value, at = decode_at(s, at)
    if key ~= nil then
      map[key] = value
    end
  end
  return map, at
end

local function decode_number(text)
  if text == 'inf' or text == '+inf' then
    return 1 / 0
  elseif text == '-inf' then
    return -1 / 0
  elseif text == 'nan' or text == '-nan' then
    return 0 / 0
  end
  return tonumber(text)
end

local function decode_set(s, at, count)
  local set = {}
  for _ = 1, count do
    local member
    member, at = decode_at(s, at)
    if member ~= nil then
      set[member] = true
    end
  end
  return { set = set }, at
end

local function decode_of_resp3(s, kind, text, at)
  if kind == 95 then -- _
    return nil, at
  elseif kind == 35 then -- #
    return text == 't', at
  elseif kind == 44 then -- ,
    return { double = decode_number(text) }, at
  elseif kind == 40 then -- (
    return { big_number = text }, at
  elseif kind == 37 then -- %
    local map
    map, at = decode_pairs(s, at, tonumber(text))
    return { map = map }, at
  elseif kind == 126 then -- ~
    return decode_set(s, at, tonumber(text))
  elseif kind == 61 then -- =
    local size = tonumber(text)
    local verbatim = { format = sub(s, at, at + 2), string = sub(s, at + 4, at + size - 1) }
    return { verbatim_string = verbatim }, at + size + 2
  elseif kind == 124 then -- |
    local _
    _, at = decode_pairs(s, at, tonumber(text))
    return decode_at(s, at)
  end
  error('a reply of an unknown kind')
end

function decode_at(s, at)
  local kind = byte(s, at)
  local stop = find(s, '\r\n', at, true)
  local text = sub(s, at + 1, stop - 1)
  at = stop + 2
  if kind == 36 then -- $
    local size = tonumber(text)
    if size < 0 then
      return false, at
    end
    return sub(s, at, at + size - 1), at + size + 2
  elseif kind == 58 then -- :
    return tonumber(text), at
  elseif kind == 43 then -- +
    return { ok = text }, at
  elseif kind == 45 then -- -
    return { err = text }, at
  elseif kind == 42 then -- *
    local count = tonumber(text)
    if count < 0 then
      return false, at
    end
    local items = {}
    for i = 1, count do
      items[i], at = decode_at(s, at)
    end
    return items, at
  end
  return decode_of_resp3(s, kind, text, at)
end

local function line(text)
  return (gsub(text, '[\r\n]', ' '))
end

-- The reply in the making; encode is the only one who uses these.
local parts, count, client3, script3

local function put(text)
  count = count + 1
  parts[count] = text
end

local function put_bulk(text)
  put(HEADS[#text] or format('$%d\r\n', #text))
  put(text)
  put('\r\n')
end

local put_value

local function put_all(head, size_of_one, items, with_values, depth)
  count = count + 1
  local at, size = count, 0
  for key, value in next, items do
    put_value(key, depth)
    if with_values then
      put_value(value, depth)
    end
    size = size + size_of_one
  end
  parts[at] = format('%s%d\r\n', head, size)
end

local function put_array(items, depth)
  count = count + 1
  local at, size = count, 0
  while true do
    local item = rawget(items, size + 1)
    if item == nil then
      break
    end
    size = size + 1
    put_value(item, depth)
  end
  parts[at] = format('*%d\r\n', size)
end

local function put_verbatim(verbatim)
  local kind, text = rawget(verbatim, 'format'), rawget(verbatim, 'string')
  if type(kind) ~= 'string' or type(text) ~= 'string' then
    return false
  end
  if client3 then
    put(format('=%d\r\n%s:', #text + 4, sub(kind .. '   ', 1, 3)))
    put(text)
    put('\r\n')
  else
    put_bulk(text)
  end
  return true
end

local function put_table(value, depth)
  local one = rawget(value, 'err')
  if type(one) == 'string' then
    return put('-' .. line(one) .. '\r\n')
  end
  one = rawget(value, 'ok')
  if type(one) == 'string' then
    return put('+' .. line(one) .. '\r\n')
  end
  one = rawget(value, 'double')
  if type(one) == 'number' then
    return put(write_double(one, client3))
  end
  one = rawget(value, 'big_number')
  if type(one) == 'string' then
    if client3 then
      return put('(' .. line(one) .. '\r\n')
    end
    return put_bulk(line(one))
  end
  one = rawget(value, 'verbatim_string')
  if type(one) == 'table' and put_verbatim(one) then
    return
  end
  one = rawget(value, 'map')
  if type(one) == 'table' then
    return put_all(client3 and '%' or '*', client3 and 1 or 2, one, true, depth)
  end
  one = rawget(value, 'set')
  if type(one) == 'table' then
    return put_all(client3 and '~' or '*', 1, one, false, depth)
  end
  put_array(value, depth)
end

local function put_boolean(value)
  if script3 and client3 then
    put(value and '#t\r\n' or '#f\r\n')
  elseif value then
    put(':1\r\n')
  elseif script3 then
    put(':0\r\n')
  else
    put(client3 and '_\r\n' or '$-1\r\n')
  end
end

function put_value(value, depth)
  local kind = type(value)
  if kind == 'string' then
    put_bulk(value)
  elseif kind == 'number' then
    put(format(':%d\r\n', value))
  elseif kind == 'table' then
    if depth == 0 then
      error(TOO_DEEP, 0)
    end
    put_table(value, depth - 1)
  elseif kind == 'boolean' then
    put_boolean(value)
  else
    put(client3 and '_\r\n' or '$-1\r\n')
  end
end

-- The whole reply. Raises TOO_DEEP, and what Lua raises when memory is used up.
local function encode(value, for_resp3, as_resp3)
  local kind = type(value)
  if kind == 'string' then
    return (HEADS[#value] or format('$%d\r\n', #value)) .. value .. '\r\n'
  elseif kind == 'number' then
    return INTEGERS[value] or format(':%d\r\n', value)
  elseif kind == 'table' then
    local status = next(value) == 'ok' and next(value, 'ok') == nil and value.ok
    if type(status) == 'string' then
      return '+' .. line(status) .. '\r\n'
    end
  end
  parts, count, client3, script3 = {}, 0, for_resp3, as_resp3
  put_value(value, MAX_DEPTH)
  local reply = concat(parts)
  parts = nil
  return reply
end

return decode_at, encode, TOO_DEEP
