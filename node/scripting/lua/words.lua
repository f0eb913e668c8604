-- Words between Lua and the host: many cross as one string (their lengths, a line break, and the words), and KEYS and
-- ARGV are made of those of a request.

local find, sub, gmatch, concat, select = string.find, string.sub, string.gmatch, table.concat, select

local function packed_words(words, count)
  local sizes = {}
  for i = 1, count do
    sizes[i] = #words[i]
  end
  return concat(sizes, ' ') .. '\n' .. concat(words)
end

local function words_of(packed)
  local stop = find(packed, '\n', 1, true)
  local words, count, at = {}, 0, stop + 1
  for size in gmatch(sub(packed, 1, stop - 1), '%d+') do
    count = count + 1
    words[count] = sub(packed, at, at + size - 1)
    at = at + size
  end
  return words, count
end

local function keys_and_args(packed, key_count, ...)
  local words, count
  if packed then
    words, count = words_of(packed)
  else
    count = select('#', ...)
    if key_count == 1 and count == 2 then
      local key, argument = ...
      return { key }, { argument }
    end
    words = { ... }
  end
  if key_count == 0 then
    return {}, words
  elseif key_count == count then
    return words, {}
  end
  local keys, args = {}, {}
  for i = 1, key_count do
    keys[i] = words[i]
  end
  for i = key_count + 1, count do
    args[i - key_count] = words[i]
  end
  return keys, args
end

return packed_words, keys_and_args
