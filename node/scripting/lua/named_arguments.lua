-- The table that register_function takes in place of arguments: what is wrong with it, or nil, and the name, the
-- callback, the description and the flags.

local type, next, tostring, find, lower = type, next, tostring, string.find, string.lower

return function(word)
  local function named_arguments(t)
    if type(t) ~= 'table' then
      return 'calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).'
    end
    local name, callback, description, flags
    for key, value in next, t do
      if type(key) ~= 'string' and type(key) ~= 'number' then
        return 'named argument key given to redis.register_function is not a string'
      end
      local known = lower(tostring(key))
      if known == 'function_name' then
        name = word(value)
        if not name then
          return 'function_name argument given to redis.register_function must be a string'
        end
      elseif known == 'description' then
        description = word(value)
        if not description then
          return 'description argument given to redis.register_function must be a string'
        end
      elseif known == 'callback' then
        if type(value) ~= 'function' then
          return 'callback argument given to redis.register_function must be a function'
        end
        callback = value
      elseif known == 'flags' then
        if type(value) ~= 'table' then
          return 'flags argument to redis.register_function must be a table representing function flags'
        end
        flags = {}
        for i = 1, #value do
          flags[i] = word(value[i])
          if not flags[i] or find(flags[i], '[^%w-]') then
            return 'unknown flag given'
          end
        end
      else
        return 'unknown argument given to redis.register_function'
      end
    end
    if not name then
      return 'redis.register_function must get a function name argument'
    elseif not callback then
      return 'redis.register_function must get a callback argument'
    end
    return nil, name, callback, description, flags
  end

  return named_arguments
end
