-- What scripts see, and how they run.
--
-- A script's environment is an empty table in front of the real globals: reading falls through, writing fails.
-- Library tables are wrapped in the same way, so nothing that one script does is left for the next. Lua 5.1 has
-- no read-only tables: the functions that write without asking metatables (rawset, table.insert and the like)
-- refuse these wrappers. Nothing of the host is in any table: its functions are upvalues, debug is gone, and
-- only strings, numbers, booleans and nil cross to it and back.
--
-- The host is a C boundary that must not run out of memory half way: a host function gives nil, which needs
-- none, when its answer would not fit, and false when it has failed itself.
--
-- Every STEP instructions `tick` is asked whether the script shall end. From then on every instruction raises,
-- so that no pcall can go on. Each coroutine has a hook of its own; that of the main thread is set once, since to
-- set it costs as much as a short script: between scripts, and in the functions around them (`outer`), where
-- nothing would catch what it raises, it does nothing.
--
-- Source: https://redis.io/docs/interact/programmability/lua-api/

local call, call_packed, tick, write_log, sha1hex, acl_check, set_repl, decode_at, encode, TOO_DEEP,
  forget_options, libraries, version, version_number = ...

local OURS = '@shoal'
local STEP = 20000
local PACKED = 200 -- from so many words on a request crosses as one string
local CREATED = 64 -- coroutines between two questions
local MAX_UNPACKED = 7900
local READONLY = 'Attempt to modify a readonly table'
local NO_MEMORY = 'not enough memory'

local host_globals = getfenv(0)
local sethook, getinfo = debug.sethook, debug.getinfo
local error, type, tostring, tonumber, select, next = error, type, tostring, tonumber, select, next
local pcall0, xpcall0, setmetatable0, getmetatable0, rawset0, rawget0, pairs0 =
  pcall, xpcall, setmetatable, getmetatable, rawset, rawget, pairs
local loadstring0, setfenv0, getfenv0, unpack0, collectgarbage0 =
  loadstring, setfenv, getfenv, unpack, collectgarbage
local create0, resume0, status0 = coroutine.create, coroutine.resume, coroutine.status
local byte, find, format, sub, gsub = string.byte, string.find, string.format, string.sub, string.gsub
local concat = table.concat
local floor, dump = math.floor, string.dump

local globals, env = {}, {}
local real = {} -- wrapper -> what it wraps
local dying = nil -- the error of a script that is being ended
local running = false -- whether what may be ended runs
local outer = {} -- the functions that call it
local resp3 = false

-- Ending

local function hook()
  if not running or outer[getinfo(2, 'f').func] then
    return
  end
  if not dying then
    local verdict = tick()
    if verdict == true then
      return
    end
    dying = verdict == nil and { err = 'ERR ' .. NO_MEMORY } or { err = verdict or 'ERR the script was ended' }
  end
  sethook(hook, '', 1)
  error(dying, 0)
end

-- Calls what may be ended, and what is wrong with it is `explain`ed; `result` is one value.
local function protected(f, explain)
  running = true
  local ok, result = xpcall0(f, explain)
  running = false
  if not ok then
    sethook(hook, '', STEP) -- explain has taken it away
  end
  return ok, result
end
outer[protected] = true

local function check_answer(answer)
  if answer == nil then
    error(NO_MEMORY, 3)
  elseif answer == false then
    hook()
  end
  return answer
end

-- Wrappers

local function wrap(t)
  local wrapper = {}
  real[wrapper] = t
  return setmetatable0(wrapper, {
    __index = t,
    __newindex = function() error(READONLY, 2) end,
    __metatable = false,
  })
end

local function writable(t)
  if real[t] then
    error(READONLY, 0) -- as Lua does it in its own functions: without the caller's position
  end
end

function globals.rawset(t, key, value)
  writable(t)
  return rawset0(t, key, value)
end

function globals.rawget(t, key)
  return rawget0(real[t] or t, key)
end

function globals.setmetatable(t, metatable)
  writable(t)
  return setmetatable0(t, metatable)
end

local string_metatable

function globals.getmetatable(object)
  if type(object) == 'string' then
    return string_metatable
  end
  local found = getmetatable0(object)
  return found or nil
end

function globals.next(t, key)
  return next(real[t] or t, key)
end

function globals.pairs(t)
  local inner = real[t]
  if not inner then
    return pairs0(t)
  end
  local key, value
  return function()
    key, value = next(inner, key)
    return key, value
  end
end

-- Environments: ours are not to be seen or changed.

local function level_or_function(target)
  if target == nil then
    return 2
  elseif type(target) == 'number' and target > 0 then
    return target + 1
  end
  return target
end

function globals.getfenv(target)
  local found = getfenv0(level_or_function(target))
  return found == host_globals and env or found
end

function globals.setfenv(target, t)
  local inner = level_or_function(target)
  if inner == 0 or getfenv0(inner) == host_globals then
    error("'setfenv' cannot change environment of given object", 2)
  end
  setfenv0(inner, t)
  return type(target) == 'function' and target or nil
end

-- Loading

local function load_text(text, name)
  if byte(text, 1) == 27 then
    return nil, 'precompiled chunks are not loaded'
  end
  local chunk, wrong = loadstring0(text, name)
  if chunk then
    return setfenv0(chunk, env)
  end
  return nil, wrong
end

-- What was compiled, with calls that errors find: see node/scripting/tail_calls.py.
local function compiled(text, name)
  local chunk, wrong = load_text(text, name)
  if not chunk then
    return nil, wrong
  end
  local rewritten = libraries.with_plain_calls(dump(chunk))
  return setfenv0(rewritten and loadstring0(rewritten, name) or chunk, env)
end

function globals.loadstring(text, name)
  if type(text) ~= 'string' then
    error(format("bad argument #1 to 'loadstring' (string expected, got %s)", text == nil and 'no value' or type(text)), 2)
  end
  return load_text(text, type(name) == 'string' and name or text)
end

function globals.load(reader, name)
  if type(reader) ~= 'function' then
    error(format("bad argument #1 to 'load' (function expected, got %s)", reader == nil and 'no value' or type(reader)), 2)
  end
  local pieces = {}
  while true do
    local ok, piece = pcall0(reader)
    if not ok then
      return nil, piece
    elseif piece == nil or piece == '' then
      break
    elseif type(piece) ~= 'string' then
      return nil, 'reader function must return a string'
    end
    pieces[#pieces + 1] = piece
  end
  return load_text(concat(pieces), type(name) == 'string' and name or '=(load)')
end

-- Functions that could be abused

function globals.unpack(t, first, last)
  local from, to = tonumber(first or 1), tonumber(last or #t)
  if from and to and to - from >= MAX_UNPACKED then
    error('too many results to unpack', 2)
  end
  return unpack0(t, first, last)
end

function globals.collectgarbage(what, argument)
  if what == nil or what == 'collect' or what == 'count' or what == 'step' then
    return collectgarbage0(what, argument)
  end
  return 0
end

local function caught(ok, ...)
  if not ok then
    local wrong = ...
    if type(wrong) == 'table' then
      local text = rawget0(wrong, 'err')
      if type(text) == 'string' then
        return false, text
      end
    end
  end
  return ok, ...
end

function globals.pcall(...)
  return caught(pcall0(...))
end

local created = 0

local function create(f)
  local thread = create0(f)
  created = created + 1
  if created >= CREATED then
    created = 0
    hook()
  end
  sethook(thread, hook, '', dying and 1 or STEP)
  return thread
end

local function wrapped_result(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

local coroutines = {
  create = create,
  resume = resume0,
  status = status0,
  running = coroutine.running,
  yield = coroutine.yield,
  wrap = function(f)
    local thread = create(f)
    return function(...)
      return wrapped_result(resume0(thread, ...))
    end
  end,
}

-- Lua's own libraries, without what reaches outside

local function copy(t, without)
  local result = {}
  for key, value in next, t do
    result[key] = value
  end
  for name in next, without or {} do
    result[name] = nil
  end
  return result
end

local strings = copy(string)
local rep = string.rep

function strings.rep(text, n)
  if text == '' and type(n) == 'number' then
    return ''
  end
  return rep(text, n)
end

local tables = copy(table, { setn = true })
local insert, remove, sort = table.insert, table.remove, table.sort

function tables.insert(t, ...)
  writable(t)
  return insert(t, ...)
end

function tables.remove(t, position)
  writable(t)
  return remove(t, position)
end

function tables.sort(t, before)
  writable(t)
  return sort(t, before)
end

local maths, packed_words, keys_and_args = libraries.maths, libraries.packed_words, libraries.keys_and_args

-- redis.*

local function error_table(text)
  if byte(text, 1) == 45 then -- -
    text = sub(text, 2)
    if not find(text, ' ', 1, true) then
      text = 'ERR ' .. text
    end
  else
    text = 'ERR ' .. text
  end
  return { err = gsub(gsub(text, '^[\r\n]+', ''), '[\r\n]+$', '') .. '' }
end

local function number_word(n)
  if n == floor(n) and n > -2 ^ 63 and n < 2 ^ 63 then
    return format('%.0f', n)
  end
  return format('%.17g', n)
end

local function word(value)
  local kind = type(value)
  if kind == 'string' then
    return value
  elseif kind == 'number' then
    return number_word(value)
  end
end

local OK_REPLY = '+OK\r\n'
local NOT_WORDS = '-ERR Lua redis lib command arguments must be strings or integers\r\n'

local function call_many(...)
  local size = select('#', ...)
  if size == 0 then
    return '-ERR Please specify at least one argument for this redis lib call\r\n'
  end
  local words = { ... }
  for i = 1, size do
    local one = word(words[i])
    if not one then
      return NOT_WORDS
    end
    words[i] = one
  end
  if size < PACKED then
    return call(unpack0(words, 1, size))
  end
  return call_packed(packed_words(words, size))
end

local function request(...)
  local a, b, c, d = ...
  local size = select('#', ...)
  if size == 3 and type(a) == 'string' and type(b) == 'string' and type(c) == 'string' then
    return call(a, b, c)
  elseif size == 2 and type(a) == 'string' and type(b) == 'string' then
    return call(a, b)
  elseif size == 4 and type(a) == 'string' and type(b) == 'string' and type(c) == 'string' and type(d) == 'string' then
    return call(a, b, c, d)
  end
  return call_many(...)
end

local redis = {}

function redis.call(...)
  local reply = request(...)
  if reply == OK_REPLY then
    return { ok = 'OK' }
  elseif not reply then
    check_answer(reply)
  end
  local value = decode_at(reply, 1)
  if byte(reply, 1) == 45 then -- -
    value.ignore_error_stats_update = true
    error(value, 0)
  end
  return value
end

function redis.pcall(...)
  local reply = request(...)
  if not reply then
    check_answer(reply)
  end
  return (decode_at(reply, 1))
end

local function log(level, ...)
  local count = select('#', ...)
  if count == 0 then
    error(error_table('redis.log() requires two arguments or more.'), 0)
  end
  level = tonumber(level)
  if not level then
    error(error_table('First argument must be a number (log level).'), 0)
  elseif level < 0 or level > 3 then
    error(error_table('Invalid log level.'), 0)
  end
  local texts = {}
  for i = 1, count do
    local one = select(i, ...)
    if type(one) == 'string' or type(one) == 'number' then
      texts[#texts + 1] = tostring(one)
    end
  end
  check_answer(write_log(floor(level), concat(texts, ' ')))
end

function redis.sha1hex(...)
  if select('#', ...) ~= 1 then
    error(error_table('wrong number of arguments'), 0)
  end
  return check_answer(sha1hex(word((...)) or ''))
end

local function one_field(name)
  return function(...)
    local text = ...
    if select('#', ...) ~= 1 or type(text) ~= 'string' then
      return error_table('wrong number or type of arguments')
    end
    if name == 'err' then
      return error_table(byte(text, 1) == 45 and text or '-' .. text)
    end
    return { [name] = text }
  end
end

redis.error_reply, redis.status_reply = one_field('err'), one_field('ok')

function redis.setresp(...)
  if select('#', ...) ~= 1 then
    error(error_table('redis.setresp() requires one argument.'), 0)
  end
  local asked = tonumber((...))
  if asked ~= 2 and asked ~= 3 then
    error(error_table('RESP version must be 2 or 3.'), 0)
  end
  resp3 = asked == 3
  check_answer(libraries.set_resp(asked))
end

function redis.set_repl(...)
  if select('#', ...) ~= 1 then
    error(error_table('redis.set_repl() requires one argument.'), 0)
  end
  local flags = tonumber((...)) or 0
  if flags < 0 or flags > 3 then
    error(error_table('Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.'), 0)
  end
  check_answer(set_repl(floor(flags)))
end

function redis.acl_check_cmd(...)
  local size, words = select('#', ...), { ... }
  if size == 0 then
    error(error_table('Please specify at least one argument for this redis lib call'), 0)
  end
  for i = 1, size do
    words[i] = word(words[i])
    if not words[i] then
      error(error_table('Lua redis lib command arguments must be strings or integers'), 0)
    end
  end
  local answer = check_answer(acl_check(packed_words(words, size)))
  if answer == 2 then
    error(error_table('Invalid command passed to redis.acl_check_cmd()'), 0)
  end
  return answer == 1
end

redis.replicate_commands = function() return true end
redis.breakpoint = function() return false end
redis.debug = function() end
redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL = 0, 1, 2, 2, 3

local function add_common(t)
  t.log = log
  t.LOG_DEBUG, t.LOG_VERBOSE, t.LOG_NOTICE, t.LOG_WARNING = 0, 1, 2, 3
  t.REDIS_VERSION, t.REDIS_VERSION_NUM = version, version_number
  return t
end

add_common(redis)

-- Functions: register_function notes what a library brings.

local library -- what is being loaded has registered so far: name -> { callback, description, flags }
local library_failed = 'redis.register_function can only be called on FUNCTION LOAD command'

local named_arguments = libraries.named_arguments(word)

local function register(...)
  if not library then
    return library_failed
  end
  local count = select('#', ...)
  if count < 1 or count > 2 then
    return 'wrong number of arguments to redis.register_function'
  end
  local wrong, name, callback, description, flags
  if count == 1 then
    wrong, name, callback, description, flags = named_arguments((...))
    if wrong then
      return wrong
    end
  else
    name, callback = ...
    name = word(name)
    if not name then
      return 'first argument to redis.register_function must be a string'
    elseif type(callback) ~= 'function' then
      return 'second argument to redis.register_function must be a function'
    end
  end
  flags = concat(flags or {}, ',')
  if not libraries.known_flags(flags) then
    return 'unknown flag given'
  elseif find(name, '[^%w_]') or name == '' then
    return 'Library names can only contain letters, numbers, or underscores(_) and must be at least one character long'
  elseif library[name] then
    return 'Function already exists in the library'
  end
  library[name] = { callback = callback, description = description, flags = flags }
end

local function nonexistent(_, name)
  if type(name) ~= 'string' and type(name) ~= 'number' then
    error('Second argument to luaProtectedTableError must be a string or number', 2)
  end
  error(format("Script attempted to access nonexistent global variable '%s'", tostring(name)), 2)
end

local load_redis = wrap(setmetatable0(
  add_common({
    register_function = function(...)
      local wrong = register(...)
      if wrong then
        error(error_table(wrong), 0)
      end
    end,
  }),
  { __index = nonexistent }
))

-- Libraries of ours raise without a position; here it is the script's.

local function settled(ok, ...)
  if ok then
    return ...
  end
  local wrong = ...
  if type(wrong) == 'table' and wrong.fail then
    error(wrong.fail, 3)
  end
  error(wrong, 0)
end

local function positioned(t)
  local result = {}
  for name, f in next, t do
    result[name] = type(f) == 'function' and function(...)
      return settled(pcall0(f, ...))
    end or f
  end
  return result
end

-- The globals

for _, name in next, { 'xpcall', 'tostring', 'assert', 'tonumber', 'rawequal', 'type', 'select', 'gcinfo', 'ipairs', 'error', '_VERSION' } do
  globals[name] = host_globals[name]
end

local function publish(name, t)
  globals[name] = wrap(t)
end

publish('string', strings)
publish('table', tables)
publish('math', maths)
publish('os', { clock = os.clock })
publish('coroutine', coroutines)
publish('bit', libraries.bit)
publish('struct', positioned(libraries.struct))
publish('cmsgpack', positioned(libraries.cmsgpack))
local json = positioned(libraries.cjson)
json.null = libraries.null
publish('cjson', json)
publish('redis', redis)
globals.server = globals.redis
globals._G = env

setmetatable0(globals, { __index = nonexistent })
local env_metatable = {
  __index = globals,
  __newindex = function() error(READONLY, 2) end,
  __metatable = false,
}
setmetatable0(env, env_metatable)
real[env] = globals

local string_index = { __index = globals.string }
string_metatable = wrap(string_index)
getmetatable0('').__index = strings

-- A library is loaded with another redis table, and nothing that reads or writes keys.
local load_globals = setmetatable0({ redis = load_redis, server = load_redis }, { __index = globals })

-- Running

-- Makes of what was raised a table with the text and where. Called before the stack is unwound and, like every
-- error handler in a hook, with hooks off: from here on none ends the script again.
local function explain(wrong)
  sethook()
  if wrong == TOO_DEEP then
    return wrong
  end
  local at = 2
  local info = getinfo(at, 'Sl')
  if info and info.what == 'C' then
    at = 3
    info = getinfo(at, 'Sl')
  end
  while info and (info.source == OURS or info.what == 'tail') do
    at = at + 1
    info = getinfo(at, 'Sl')
  end
  local text, counted = wrong, nil
  if type(wrong) == 'table' then
    text, counted = rawget0(wrong, 'err'), rawget0(wrong, 'ignore_error_stats_update')
  else
    text = 'ERR ' .. tostring(wrong)
  end
  if info and info.what ~= 'C' then
    if type(text) == 'string' then
      text = text:gsub('^ERR shoal:%d+:', format('ERR %s:%d:', sub(info.source, 2), info.currentline))
    end
    return { err = text, counted = counted, source = info.source, line = info.currentline }
  end
  return { err = text, counted = counted }
end

local function error_reply(wrong, name)
  if wrong == TOO_DEEP then
    return wrong, false
  elseif type(wrong) ~= 'table' then -- memory is used up: nobody could explain it
    wrong = { err = 'ERR ' .. tostring(wrong) }
  end
  local text = wrong.err
  if type(text) ~= 'string' and type(text) ~= 'number' then
    text = 'ERR unknown error'
  end
  if wrong.line and wrong.line >= 0 then
    text = format('%s script: %s, on %s:%d.', text, name, wrong.source, wrong.line)
  end
  return '-' .. gsub(text, '[\r\n]', ' ') .. '\r\n', wrong.counted == true
end

local function settle(ok, result, name, client3)
  dying = nil
  if not ok then
    return error_reply(result, name)
  elseif type(result) == 'table' then
    ok, result = protected(function() return encode(result, client3, resp3) end, explain)
    if not ok then
      return error_reply(result, name)
    end
    return result, false
  end
  return encode(result, client3, resp3), false
end

local function reset()
  dying, resp3, created = nil, false, 0
  forget_options()
end

local chunks = {} -- by the name of the script

-- The reply, and whether its error is counted already. `packed`: all words as one string, when they are many.
local function run_script(name, client3, packed, key_count, ...)
  reset()
  globals.KEYS, globals.ARGV = keys_and_args(packed, key_count, ...)
  local ok, result = protected(setfenv0(chunks[name], env), explain)
  globals.KEYS, globals.ARGV = nil, nil
  return settle(ok, result, name, client3)
end

local loaded = {} -- by a number: the functions of a library

local function run_function(number, name, client3, packed, key_count, ...)
  reset()
  local keys, args = keys_and_args(packed, key_count, ...)
  local callback = loaded[number][name].callback
  local ok, result = protected(function() return callback(keys, args) end, explain)
  return settle(ok, result, name, client3)
end

-- nil, or what is wrong with the text.
local function compile(name, text)
  local chunk, wrong = compiled(text, '@user_script')
  chunks[name] = chunk
  return wrong
end

local function forget(name)
  chunks[name] = nil
end

local function described(functions)
  local words = {}
  for name, one in next, functions do
    words[#words + 1] = name
    words[#words + 1] = one.flags
    words[#words + 1] = one.description and '+' .. one.description or '-'
  end
  return packed_words(words, #words)
end

-- Runs a library's text and keeps what it registers under `number`: nil and what is wrong, or the functions as
-- words: name, flags, description behind a +, or -.
local function load_library(number, text)
  local chunk, wrong = compiled(text, '@user_function')
  if not chunk then
    return nil, 'Error compiling function: ' .. wrong
  end
  reset()
  library = {}
  env_metatable.__index = load_globals
  local ok, failed = protected(chunk, explain)
  env_metatable.__index = globals
  local functions = library
  library, dying = nil, nil
  if not ok then
    failed = type(failed) == 'table' and failed.err or 'ERR ' .. tostring(failed)
    return nil, 'Error registering functions: ' .. tostring(failed)
  end
  loaded[number] = functions
  return described(functions)
end

local function drop_library(number)
  loaded[number] = nil
end

-- Nothing is left in the host's globals but a word that lupa looks for.
for name in next, copy(host_globals) do
  host_globals[name] = nil
end
host_globals.debug = false

sethook(hook, '', STEP)

return run_script, run_function, compile, forget, load_library, drop_library
