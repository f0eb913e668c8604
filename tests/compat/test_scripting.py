"""Scripts beside redis-server 7.0: values, errors, libraries. Errors of the parser are Lua's own on both."""

from __future__ import annotations

import pytest

SCRIPTS = {
    "values": r"""
        EVAL 'return 1' 0
        EVAL 'return 3.99' 0
        EVAL 'return -3.99' 0
        EVAL 'return {1,2,{3,"x"},nil,5}' 0
        EVAL 'return true' 0
        EVAL 'return false' 0
        EVAL 'return nil' 0
        EVAL 'return {ok="fine"}' 0
        EVAL 'return {err="MY error"}' 0
        EVAL 'return redis.error_reply("MY error")' 0
        EVAL 'return redis.error_reply("-MY error")' 0
        EVAL 'return redis.status_reply("S")' 0
        EVAL 'return {KEYS[1],ARGV[1],#KEYS,#ARGV}' 1 a b
        EVAL 'return redis.sha1hex("x")' 0
        EVAL 'return tostring(1/3)' 0
        EVAL 'return {double=1.5}' 0
        EVAL 'return {map={a=1}}' 0
        EVAL 'return {set={a=true}}' 0
        EVAL 'return {big_number="123"}' 0
        EVAL 'return {verbatim_string={format="txt",string="x"}}' 0
        EVAL 'return function() end' 0
        EVAL 'return redis.call("SET",KEYS[1],ARGV[1])' 1 a 5
        EVAL 'return redis.call("INCRBY",KEYS[1],10)' 1 a
        EVAL 'return redis.call("GET","none")' 0
        EVAL 'return {type(redis.call("GET","none")),type(redis.call("SET","b",1.5))}' 0
        GET b
        EVAL 'redis.setresp(3) return redis.call("HGETALL","none")' 0
        EVAL 'redis.setresp(3) return {true,false}' 0
        EVAL 'return redis.pcall("INCR","none","x")' 0
        EVAL_RO 'return redis.call("GET","a")' 0
        """,
    "errors": r"""
        EVAL 'return x' 0
        EVAL 'x=1' 0
        EVAL 'return redis.call("nosuch")' 0
        EVAL 'return redis.call("get")' 0
        EVAL 'local r=redis.call("get") return r' 0
        EVAL 'error("boo")' 0
        EVAL 'error({err="MY boo"})' 0
        EVAL 'local a return a.b' 0
        EVAL 'redis.log()' 0
        EVAL 'redis.setresp(9)' 0
        EVAL 'return redis.call("set","a",{})' 0
        EVAL 'return redis.call()' 0
        EVAL 'return redis.call("eval","return 1",0)' 0
        EVAL 'return +' 0
        EVAL 'return {pcall(function() error("x") end)}' 0
        EVAL 'return {pcall(redis.call,"get")}' 0
        EVAL '#!lua flags=odd\nreturn 1' 0
        EVAL '#!odd\nreturn 1' 0
        EVAL 'return 1' x
        EVAL 'return 1' 1
        EVAL 'return 1' -1
        EVAL 'return 1'
        EVALSHA abc 0
        EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
        EVAL_RO 'return redis.call("SET","a",1)' 0
        EVAL '#!lua flags=no-writes\nreturn redis.call("SET","a",1)' 0
        EVAL 'rawset(_G,"x",1)' 0
        EVAL 'return loadstring("return 1+1")()' 0
        EVAL 'return cjson.decode("[1,")' 0
        EVAL 'return cjson.encode({1,2,{a=1},"\\n\\"/"})' 0
        EVAL 'return cjson.encode({[1]=1,[20]=2})' 0
        EVAL 'return cjson.encode({1.5,1e20,-0.1,100000000000000})' 0
        SCRIPT LOAD 'return 7'
        SCRIPT LOAD '+'
        SCRIPT EXISTS 90e5d1c4fb6a3f3e4a5a 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44a1
        SCRIPT FLUSH ODD
        SCRIPT FLUSH SYNC
        SCRIPT KILL
        SCRIPT NOSUCH
        """,
    "libraries": r"""
        EVAL 'return struct.pack(">Hi4s",1,-2,"ab")' 0
        EVAL 'return {struct.unpack("<HBs",struct.pack("<HBs",513,7,"ab"))}' 0
        EVAL 'return struct.size("!8bd")' 0
        EVAL 'return struct.pack("fd",0.1,0.1)' 0
        EVAL 'return cmsgpack.pack(1,-1,200,-200,70000,-70000,5e9,-5e9,1.5,1.1,"x",true,{1,{a=2}})' 0
        EVAL 'return {cmsgpack.unpack(cmsgpack.pack(1,-1,200,-200,70000,-70000,5e9,-5e9,"x",{1}))}' 0
        EVAL 'return {cmsgpack.unpack_one("\\1\\2")}' 0
        EVAL 'return {cmsgpack.unpack_limit("\\1\\2\\3",2)}' 0
        EVAL 'return {bit.band(255,15),bit.bor(1,2),bit.bxor(7,2),bit.bnot(0),bit.tobit(2^32+5)}' 0
        EVAL 'return {bit.lshift(1,31),bit.rshift(-1,28),bit.arshift(-16,2),bit.rol(305419896,8)}' 0
        EVAL 'return {bit.ror(305419896,4),bit.bswap(305419896),bit.tohex(255),bit.tohex(-1,-4)}' 0
        EVAL 'return {math.random(1000),math.random(1000),math.random(5,9)}' 0
        EVAL 'math.randomseed(42) return {math.random(1000),math.random(1000)}' 0
        """,
    "functions": r"""
        FUNCTION LOAD '#!lua name=l\nredis.register_function("f",function(k,a) return {k,a} end)'
        FUNCTION LOAD '#!lua name=l\nredis.register_function("f",function(k,a) return {k,a} end)'
        FCALL f 1 a b
        FCALL F 0
        FCALL g 0
        FCALL f x
        FCALL_RO f 0
        FUNCTION LIST
        FUNCTION LIST LIBRARYNAME l* WITHCODE
        FUNCTION STATS
        FUNCTION DUMP
        FUNCTION DELETE l
        FUNCTION DELETE l
        FUNCTION LOAD 'return 1'
        FUNCTION LOAD '#!lua name=l\nreturn 1'
        FUNCTION LOAD '#!lua name=l\nx x'
        FUNCTION LOAD '#!lua name=l\nredis.register_function("f")'
        FUNCTION LOAD '#!odd name=l\nreturn 1'
        FUNCTION LOAD ODD '#!lua name=l\nreturn 1'
        FUNCTION RESTORE abc
        FUNCTION FLUSH ODD
        FUNCTION FLUSH
        FUNCTION KILL
        """,
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(run_script, name, protocol):
    run_script(SCRIPTS[name], protocol)
