"""The arguments of every command of Redis 7.2 (and of 7.4's for times to live of hash fields), a line each,
in the notation of `node.command.syntax`; an indented line goes on with the one before. Commands that are not
served yet have their line already.

Facts of src/commands/*.json of those versions; CLUSTER SLOT-STATS is of Redis 8.
"""

from __future__ import annotations

from functools import cache

from node.command.syntax import Argument, parse

_LINES = """\
ACL|CAT [category]
ACL|DELUSER username...
ACL|DRYRUN username command [arg...]
ACL|GENPASS [bits:i]
ACL|GETUSER username
ACL|LOG [operation=<count:i | RESET>]
ACL|SETUSER username [rule...]
APPEND key:k value
AUTH [username] password
BGSAVE [SCHEDULE]
BITCOUNT key:k [range=(start:i end:i [unit=<BYTE | BIT>])]
BITFIELD key:k [operation=<GET get-block=(encoding offset:i) | write=([OVERFLOW overflow-block=<WRAP | SAT
    | FAIL>] write-operation=<SET set-block=(encoding offset:i value:i) | INCRBY incrby-block=(encoding
    offset:i increment:i)>)>...]
BITFIELD_RO key:k [GET get-block=(encoding offset:i),...]
BITOP operation=<AND | OR | XOR | NOT> destkey:k key:k...
BITPOS key:k bit:i [range=(start:i [end-unit-block=(end:i [unit=<BYTE | BIT>])])]
BLMOVE source:k destination:k wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout:d
BLMPOP timeout:d numkeys:i key:k... where=<LEFT | RIGHT> [COUNT count:i]
BLPOP key:k... timeout:d
BRPOP key:k... timeout:d
BRPOPLPUSH source:k destination:k timeout:d
BZMPOP timeout:d numkeys:i key:k... where=<MIN | MAX> [COUNT count:i]
BZPOPMAX key:k... timeout:d
BZPOPMIN key:k... timeout:d
CLIENT|CACHING mode=<YES | NO>
CLIENT|KILL filter=<old-format/ip:port | new-format=<ID client-id:i | TYPE client-type=<'normal' |
    'master' | 'slave' | 'replica' | 'pubsub'> | USER username | ADDR addr/ip:port | LADDR laddr/ip:port |
    SKIPME skipme=<YES | NO>>...>
CLIENT|CAPA capability...
CLIENT|LIST [TYPE client-type=<'normal' | 'master' | 'replica' | 'pubsub'>] [ID client-id:i...]
CLIENT|NO-EVICT enabled=<ON | OFF>
CLIENT|NO-TOUCH enabled=<ON | OFF>
CLIENT|PAUSE timeout:i [mode=<WRITE | ALL>]
CLIENT|REPLY action=<ON | OFF | SKIP>
CLIENT|SETINFO attr=<'lib-name' libname | 'lib-ver' libver>
CLIENT|SETNAME connection-name
CLIENT|TRACKING status=<ON | OFF> [REDIRECT client-id:i] [PREFIX prefix,...] [BCAST=BCAST] [OPTIN=OPTIN]
    [OPTOUT=OPTOUT] [NOLOOP=NOLOOP]
CLIENT|UNBLOCK client-id:i [unblock-type=<TIMEOUT | ERROR>]
CLUSTER|ADDSLOTS slot:i...
CLUSTER|ADDSLOTSRANGE range=(start-slot:i end-slot:i)...
CLUSTER|CANCELSLOTMIGRATIONS [all=ALL]
CLUSTER|COUNT-FAILURE-REPORTS node-id
CLUSTER|COUNTKEYSINSLOT slot:i
CLUSTER|DELSLOTS slot:i...
CLUSTER|DELSLOTSRANGE range=(start-slot:i end-slot:i)...
CLUSTER|FAILOVER [options=<FORCE | TAKEOVER>]
CLUSTER|FORGET node-id
CLUSTER|GETKEYSINSLOT slot:i count:i
CLUSTER|KEYSLOT key
CLUSTER|MEET ip port:i [cluster-bus-port:i]
CLUSTER|MIGRATESLOTS migration-group=(slotsrange-token=SLOTSRANGE range=(start-slot:i end-slot:i)...
    node-token='NODE' node-id)...
CLUSTER|REPLICAS node-id
CLUSTER|REPLICATE node-id
CLUSTER|RESET [reset-type=<HARD | SOFT>]
CLUSTER|SET-CONFIG-EPOCH config-epoch:i
CLUSTER|SETSLOT slot:i subcommand=<IMPORTING importing/node-id | MIGRATING migrating/node-id | NODE
    node/node-id | STABLE> [TIMEOUT timeout:i]
CLUSTER|SLAVES node-id
CLUSTER|SLOT-STATS filter=<SLOTSRANGE slotsrange=(start-slot:i end-slot:i)
    | ORDERBY orderby=(metric [LIMIT limit:i] [order=<ASC | DESC>])>
COMMAND|DOCS [command-name...]
COMMAND|GETKEYS command [arg...]
COMMAND|GETKEYSANDFLAGS command [arg...]
COMMAND|INFO [command-name...]
COMMAND|LIST [FILTERBY filterby=<MODULE module-name | ACLCAT category | PATTERN pattern:p>]
CONFIG|GET parameter...
CONFIG|SET data=(parameter value)...
COPY source:k destination:k [DB destination-db:i] [REPLACE]
DECR key:k
DECRBY key:k decrement:i
DEL key:k...
DUMP key:k
ECHO message
EVAL script numkeys:i [key:k...] [arg...]
EVAL_RO script numkeys:i [key:k...] [arg...]
EVALSHA sha1 numkeys:i [key:k...] [arg...]
EVALSHA_RO sha1 numkeys:i [key:k...] [arg...]
EXISTS key:k...
EXPIRE key:k seconds:i [condition=<NX | XX | GT | LT>]
EXPIREAT key:k unix-time-seconds:t [condition=<NX | XX | GT | LT>]
EXPIRETIME key:k
FAILOVER [TO target=(host port:i [FORCE])] [ABORT] [TIMEOUT milliseconds:i]
FCALL function numkeys:i [key:k...] [arg...]
FCALL_RO function numkeys:i [key:k...] [arg...]
FLUSHALL [flush-type=<ASYNC | SYNC>]
FLUSHDB [flush-type=<ASYNC | SYNC>]
FUNCTION|DELETE library-name
FUNCTION|FLUSH [flush-type=<ASYNC | SYNC>]
FUNCTION|LIST [LIBRARYNAME library-name-pattern] [WITHCODE]
FUNCTION|LOAD [REPLACE] function-code
FUNCTION|RESTORE serialized-value [policy=<FLUSH | APPEND | REPLACE>]
GEOADD key:k [condition=<NX | XX>] [change=CH] data=(longitude:d latitude:d member)...
GEODIST key:k member1 member2 [unit=<'m' | 'km' | 'ft' | 'mi'>]
GEOHASH key:k [member...]
GEOPOS key:k [member...]
GEORADIUS key:k longitude:d latitude:d radius:d unit=<'m' | 'km' | 'ft' | 'mi'> [WITHCOORD] [WITHDIST]
    [WITHHASH] [count-block=(COUNT count:i [ANY])] [order=<ASC | DESC>] [store=<STORE storekey:k/key |
    STOREDIST storedistkey:k/key>]
GEORADIUS_RO key:k longitude:d latitude:d radius:d unit=<'m' | 'km' | 'ft' | 'mi'> [WITHCOORD] [WITHDIST]
    [WITHHASH] [count-block=(COUNT count:i [ANY])] [order=<ASC | DESC>]
GEORADIUSBYMEMBER key:k member radius:d unit=<'m' | 'km' | 'ft' | 'mi'> [WITHCOORD] [WITHDIST] [WITHHASH]
    [count-block=(COUNT count:i [ANY])] [order=<ASC | DESC>] [store=<STORE storekey:k/key | STOREDIST
    storedistkey:k/key>]
GEORADIUSBYMEMBER_RO key:k member radius:d unit=<'m' | 'km' | 'ft' | 'mi'> [WITHCOORD] [WITHDIST]
    [WITHHASH] [count-block=(COUNT count:i [ANY])] [order=<ASC | DESC>]
GEOSEARCH key:k from=<FROMMEMBER member | FROMLONLAT fromlonlat=(longitude:d latitude:d)>
    by=<circle=(BYRADIUS radius:d unit=<'m' | 'km' | 'ft' | 'mi'>) | box=(BYBOX width:d height:d unit=<'m'
    | 'km' | 'ft' | 'mi'>)> [order=<ASC | DESC>] [count-block=(COUNT count:i [ANY])] [WITHCOORD]
    [WITHDIST] [WITHHASH]
GEOSEARCHSTORE destination:k source:k from=<FROMMEMBER member | FROMLONLAT fromlonlat=(longitude:d
    latitude:d)> by=<circle=(BYRADIUS radius:d unit=<'m' | 'km' | 'ft' | 'mi'>) | box=(BYBOX width:d
    height:d unit=<'m' | 'km' | 'ft' | 'mi'>)> [order=<ASC | DESC>] [count-block=(COUNT count:i [ANY])]
    [STOREDIST]
GET key:k
GETBIT key:k offset:i
GETDEL key:k
GETEX key:k [expiration=<EX seconds:i | PX milliseconds:i | EXAT unix-time-seconds:t | PXAT
    unix-time-milliseconds:t | PERSIST>]
GETRANGE key:k start:i end:i
GETSET key:k value
HDEL key:k field...
HELLO [arguments=(protover:i [AUTH auth=(username password)] [SETNAME clientname])]
HEXISTS key:k field
HEXPIRE key:k seconds:i [condition=<NX | XX | GT | LT>] FIELDS fields=(numfields:i field...)
HEXPIREAT key:k unix-time-seconds:t [condition=<NX | XX | GT | LT>] FIELDS fields=(numfields:i field...)
HEXPIRETIME key:k FIELDS fields=(numfields:i field...)
HGET key:k field
HGETALL key:k
HINCRBY key:k field increment:i
HINCRBYFLOAT key:k field increment:d
HKEYS key:k
HLEN key:k
HMGET key:k field...
HMSET key:k data=(field value)...
HPERSIST key:k FIELDS fields=(numfields:i field...)
HPEXPIRE key:k milliseconds:i [condition=<NX | XX | GT | LT>] FIELDS fields=(numfields:i field...)
HPEXPIREAT key:k unix-time-milliseconds:t [condition=<NX | XX | GT | LT>] FIELDS fields=(numfields:i
    field...)
HPEXPIRETIME key:k FIELDS fields=(numfields:i field...)
HPTTL key:k FIELDS fields=(numfields:i field...)
HRANDFIELD key:k [options=(count:i [WITHVALUES])]
HSCAN key:k cursor:i [MATCH pattern:p] [COUNT count:i]
HSET key:k data=(field value)...
HSETNX key:k field value
HSTRLEN key:k field
HTTL key:k FIELDS fields=(numfields:i field...)
HVALS key:k
INCR key:k
INCRBY key:k increment:i
INCRBYFLOAT key:k increment:d
INFO [section...]
KEYS pattern:p
LATENCY|GRAPH event
LATENCY|HISTOGRAM [command...]
LATENCY|HISTORY event
LATENCY|RESET [event...]
LCS key1:k key2:k0 [LEN] [IDX] [MINMATCHLEN min-match-len:i] [WITHMATCHLEN]
LINDEX key:k index:i
LINSERT key:k where=<BEFORE | AFTER> pivot element
LLEN key:k
LMOVE source:k destination:k wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT>
LMPOP numkeys:i key:k... where=<LEFT | RIGHT> [COUNT count:i]
LOLWUT [VERSION version:i]
LPOP key:k [count:i]
LPOS key:k element [RANK rank:i] [COUNT num-matches:i] [MAXLEN len:i]
LPUSH key:k element...
LPUSHX key:k element...
LRANGE key:k start:i stop:i
LREM key:k count:i element
LSET key:k index:i element
LTRIM key:k start:i stop:i
MEMORY|USAGE key:k [SAMPLES count:i]
MGET key:k...
MIGRATE host port:i key-selector=<key:k | empty-string='""'> destination-db:i timeout:i [COPY] [REPLACE]
    [authentication=<AUTH auth/password | AUTH2 auth2=(username password)>] [KEYS keys:k/key...]
MODULE|LOAD path [arg...]
MODULE|LOADEX path [CONFIG configs=(name value),...] [ARGS args...]
MODULE|UNLOAD name
MOVE key:k db:i
MSET data=(key:k value)...
MSETNX data=(key:k value)...
OBJECT|ENCODING key:k
OBJECT|FREQ key:k
OBJECT|IDLETIME key:k
OBJECT|REFCOUNT key:k
PERSIST key:k
PEXPIRE key:k milliseconds:i [condition=<NX | XX | GT | LT>]
PEXPIREAT key:k unix-time-milliseconds:t [condition=<NX | XX | GT | LT>]
PEXPIRETIME key:k
PFADD key:k [element...]
PFCOUNT key:k...
PFDEBUG subcommand key:k
PFMERGE destkey:k [sourcekey:k...]
PING [message]
PSETEX key:k milliseconds:i value
PSUBSCRIBE pattern:p...
PSYNC replicationid offset:i
PTTL key:k
PUBLISH channel message
PUBSUB|CHANNELS [pattern:p]
PUBSUB|NUMSUB [channel...]
PUBSUB|SHARDCHANNELS [pattern:p]
PUBSUB|SHARDNUMSUB [shardchannel...]
PUNSUBSCRIBE [pattern:p...]
RENAME key:k newkey:k
RENAMENX key:k newkey:k
REPLICAOF args=<host-port=(host port:i) | no-one=(NO ONE)>
RESTORE key:k ttl:i serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:i] [FREQ frequency:i]
RESTORE-ASKING key:k ttl:i serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds:i] [FREQ frequency:i]
RPOP key:k [count:i]
RPOPLPUSH source:k destination:k
RPUSH key:k element...
RPUSHX key:k element...
SADD key:k member...
SCAN cursor:i [MATCH pattern:p] [COUNT count:i] [TYPE type]
SCARD key:k
SCRIPT|DEBUG mode=<YES | SYNC | NO>
SCRIPT|EXISTS sha1...
SCRIPT|FLUSH [flush-type=<ASYNC | SYNC>]
SCRIPT|LOAD script
SCRIPT|SHOW sha1
SDIFF key:k...
SDIFFSTORE destination:k key:k...
SELECT index:i
SET key:k value [condition=<NX | XX>] [GET] [expiration=<EX seconds:i | PX milliseconds:i | EXAT
    unix-time-seconds:t | PXAT unix-time-milliseconds:t | KEEPTTL>]
SETBIT key:k offset:i value:i
SETEX key:k seconds:i value
SETNX key:k value
SETRANGE key:k offset:i value
SHUTDOWN [save-selector=<NOSAVE | SAVE>] [NOW] [FORCE] [ABORT]
SINTER key:k...
SINTERCARD numkeys:i key:k... [LIMIT limit:i]
SINTERSTORE destination:k key:k...
SISMEMBER key:k member
SLAVEOF args=<host-port=(host port:i) | no-one=(NO ONE)>
SLOWLOG|GET [count:i]
SMEMBERS key:k
SMISMEMBER key:k member...
SMOVE source:k destination:k member
SORT key:k [BY by-pattern:p/pattern] [LIMIT limit=(offset:i count:i)] [GET get-pattern:p/pattern,...]
    [order=<ASC | DESC>] [sorting=ALPHA] [STORE destination:k2]
SORT_RO key:k [BY by-pattern:p/pattern] [LIMIT limit=(offset:i count:i)] [GET get-pattern:p/pattern,...]
    [order=<ASC | DESC>] [sorting=ALPHA]
SPOP key:k [count:i]
SPUBLISH shardchannel message
SRANDMEMBER key:k [count:i]
SREM key:k member...
SSCAN key:k cursor:i [MATCH pattern:p] [COUNT count:i]
SSUBSCRIBE shardchannel...
STRLEN key:k
SUBSCRIBE channel...
SUBSTR key:k start:i end:i
SUNION key:k...
SUNIONSTORE destination:k key:k...
SUNSUBSCRIBE [shardchannel...]
SWAPDB index1:i index2:i
TOUCH key:k...
TTL key:k
TYPE key:k
UNLINK key:k...
UNSUBSCRIBE [channel...]
WAIT numreplicas:i timeout:i
WAITAOF numlocal:i numreplicas:i timeout:i
WATCH key:k...
XACK key:k group id...
XADD key:k [NOMKSTREAM] [trim=(strategy=<MAXLEN | MINID> [operator=<equal='=' | approximately=~>]
    threshold [LIMIT count:i])] id-selector=<auto-id=* | id> data=(field value)...
XAUTOCLAIM key:k group consumer min-idle-time start [COUNT count:i] [JUSTID]
XCLAIM key:k group consumer min-idle-time id... [IDLE ms:i] [TIME unix-time-milliseconds:t] [RETRYCOUNT
    count:i] [FORCE] [JUSTID] [LASTID lastid]
XDEL key:k id...
XGROUP|CREATE key:k group id-selector=<id | new-id=$> [MKSTREAM] [ENTRIESREAD entries-read:i]
XGROUP|CREATECONSUMER key:k group consumer
XGROUP|DELCONSUMER key:k group consumer
XGROUP|DESTROY key:k group
XGROUP|SETID key:k group id-selector=<id | new-id=$> [ENTRIESREAD entriesread:i/entries-read]
XINFO|CONSUMERS key:k group
XINFO|GROUPS key:k
XINFO|STREAM key:k [full-block=(FULL [COUNT count:i])]
XLEN key:k
XPENDING key:k group [filters=([IDLE min-idle-time:i] start end count:i [consumer])]
XRANGE key:k start end [COUNT count:i]
XREAD [COUNT count:i] [BLOCK milliseconds:i] STREAMS streams=(key:k... id...)
XREADGROUP GROUP group-block=(group consumer) [COUNT count:i] [BLOCK milliseconds:i] [NOACK] STREAMS
    streams=(key:k... id...)
XREVRANGE key:k end start [COUNT count:i]
XSETID key:k last-id [ENTRIESADDED entries-added:i] [MAXDELETEDID max-deleted-id]
XTRIM key:k trim=(strategy=<MAXLEN | MINID> [operator=<equal='=' | approximately=~>] threshold [LIMIT
    count:i])
ZADD key:k [condition=<NX | XX>] [comparison=<GT | LT>] [change=CH] [increment=INCR] data=(score:d
    member)...
ZCARD key:k
ZCOUNT key:k min:d max:d
ZDIFF numkeys:i key:k... [WITHSCORES]
ZDIFFSTORE destination:k numkeys:i key:k...
ZINCRBY key:k increment:i member
ZINTER numkeys:i key:k... [WEIGHTS weight:i...] [AGGREGATE aggregate=<SUM | MIN | MAX>] [WITHSCORES]
ZINTERCARD numkeys:i key:k... [LIMIT limit:i]
ZINTERSTORE destination:k numkeys:i key:k... [WEIGHTS weight:i...] [AGGREGATE aggregate=<SUM | MIN | MAX>]
ZLEXCOUNT key:k min max
ZMPOP numkeys:i key:k... where=<MIN | MAX> [COUNT count:i]
ZMSCORE key:k member...
ZPOPMAX key:k [count:i]
ZPOPMIN key:k [count:i]
ZRANDMEMBER key:k [options=(count:i [WITHSCORES])]
ZRANGE key:k start stop [sortby=<BYSCORE | BYLEX>] [REV] [LIMIT limit=(offset:i count:i)] [WITHSCORES]
ZRANGEBYLEX key:k min max [LIMIT limit=(offset:i count:i)]
ZRANGEBYSCORE key:k min:d max:d [WITHSCORES] [LIMIT limit=(offset:i count:i)]
ZRANGESTORE dst:k src:k min max [sortby=<BYSCORE | BYLEX>] [REV] [LIMIT limit=(offset:i count:i)]
ZRANK key:k member [WITHSCORE]
ZREM key:k member...
ZREMRANGEBYLEX key:k min max
ZREMRANGEBYRANK key:k start:i stop:i
ZREMRANGEBYSCORE key:k min:d max:d
ZREVRANGE key:k start:i stop:i [WITHSCORES]
ZREVRANGEBYLEX key:k max min [LIMIT limit=(offset:i count:i)]
ZREVRANGEBYSCORE key:k max:d min:d [WITHSCORES] [LIMIT limit=(offset:i count:i)]
ZREVRANK key:k member [WITHSCORE]
ZSCAN key:k cursor:i [MATCH pattern:p] [COUNT count:i]
ZSCORE key:k member
ZUNION numkeys:i key:k... [WEIGHTS weight:i...] [AGGREGATE aggregate=<SUM | MIN | MAX>] [WITHSCORES]
ZUNIONSTORE destination:k numkeys:i key:k... [WEIGHTS weight:i...] [AGGREGATE aggregate=<SUM | MIN | MAX>]
"""

_SYNTAX = {
    title.lower(): text
    for title, _, text in (line.partition(" ") for line in _LINES.replace("\n   ", "").splitlines())
}


@cache
def arguments_of(title: str) -> tuple[Argument, ...]:
    """Of the command of that title (`container|sub`); empty when it takes none, or is not known."""
    return parse(_SYNTAX.get(title, ""))
