"""The start: redis.conf, the command line in redis-server's style, and reports that name the line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from node.config.config import Config
from node.config.file import Arguments, ConfigFileError, Line, Startup, load, parse_arguments
from node.config.table import (
    BIND,
    CLUSTER_ENABLED,
    DATABASES,
    DIR,
    LOGFILE,
    MAXCLIENTS,
    MAXMEMORY,
    PORT,
    REPLICAOF,
    REQUIREPASS,
    SAVE,
    TIMEOUT,
)


@pytest.fixture(autouse=True)
def _in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def started(*argv: str, stdin: bytes = b"") -> Startup:
    return load(parse_arguments(argv), lambda: stdin)


def config_of(text: bytes) -> Config:
    return started("-", stdin=text).config


def report(*argv: str, stdin: bytes = b"") -> str:
    with pytest.raises(ConfigFileError) as caught:
        started(*argv, stdin=stdin)
    return caught.value.report("1.0")


def test_lines_quotes_and_comments() -> None:
    config = config_of(b'# x\n\n  PORT 7000 \r\nrequirepass "a b\\x01"\nbind 127.0.0.1 ::1\nmaxmemory 1gb')
    assert config[PORT] == 7000
    assert config[REQUIREPASS] == b"a b\x01"
    assert config[BIND] == ("127.0.0.1", "::1")
    assert config[MAXMEMORY] == 1 << 30


def test_file_then_standard_input_then_options(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_bytes(b"port 1\ntimeout 1\nmaxclients 1\n")
    startup = started("x.conf", "--port", "3", "-", stdin=b"port 2\ntimeout 2\n")
    config = startup.config
    assert (config[PORT], config[TIMEOUT], config[MAXCLIENTS]) == (3, 2, 1)
    assert config.path == str(tmp_path / "x.conf")


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["--port", "7000", "--cluster-enabled", "yes"], b'port "7000"\ncluster-enabled "yes"\n'),
        (["--save", "900 1"], b'save "900 1"\n'),
        (["--save", "--port", "1"], b'save ""\nport "1"\n'),
        (["--save"], b'save ""\n'),
        (["--save", ""], b'save ""\n'),
        (["--port 7000", "--bind", "a", "b"], b'port 7000\nbind "a" "b"\n'),
        (["--masterauth", "--x", "--port", "1"], b'masterauth "--x"\nport "1"\n'),
    ],
)
def test_options_become_lines(argv: list[str], options: bytes) -> None:
    assert parse_arguments(argv).options == options


def test_special_arguments() -> None:
    assert parse_arguments(["-v"]).version
    assert parse_arguments(["--help"]).help
    assert parse_arguments([]) == Arguments()
    assert parse_arguments(["s.conf", "--sentinel"]).sentinel
    assert parse_arguments(["-", "--port", "1"]).stdin


def test_save_lines_of_a_file_add_up() -> None:
    assert config_of(b"save 900 1\nsave 60 10\n")[SAVE] == ((900, 1), (60, 10))
    assert config_of(b'save 900 1\nsave ""\nsave 5 5\n')[SAVE] == ((5, 5),)
    assert config_of(b'save "1 2 3 4"\n')[SAVE] == ((1, 2), (3, 4))
    assert len(config_of(b"")[SAVE]) == 3


def test_cluster_mode_has_one_database() -> None:
    assert config_of(b"cluster-enabled yes\ndatabases 4\n")[DATABASES] == 1
    assert config_of(b"databases 4\n")[DATABASES] == 4
    assert "replicaof directive not allowed in cluster mode" in report(
        "-", stdin=b"replicaof h 1\ncluster-enabled yes\n"
    )
    assert config_of(b"slaveof h 1")[REPLICAOF] == ("h", 1)


def test_an_unknown_directive_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_bytes(b"port 1\n\n maxclientz 3\n")
    assert report("x.conf") == (
        "\n*** FATAL CONFIG FILE ERROR (Shoal 1.0) ***\n"
        f"Reading the configuration file, at line 3 of {tmp_path}/x.conf\n"
        ">>> 'maxclientz 3'\n"
        "Bad directive or wrong number of arguments (did you mean 'maxclients'?)\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"port abc", "argument couldn't be parsed into an integer"),
        (b"port", "wrong number of arguments"),
        (b"port 1 2", "wrong number of arguments"),
        (b'port "1', "Unbalanced quotes in configuration line"),
        (b'bind "\'a"', "Unbalanced quotes in configuration line"),
        (b"zzzzzzzz 1", "Bad directive or wrong number of arguments\n"),
        (b"include", "Bad directive or wrong number of arguments"),
        (b"sentinel monitor x", "sentinel directive while not in sentinel mode"),
        (b"tls-auth-clients perhaps", "argument(s) must be one of the following: no, yes, optional"),
        (b"dir nowhere", "No such file or directory"),
        (b"logfile nowhere/log", "Can't open the log file: No such file or directory"),
        (b"include nowhere.conf", "can't open config file"),
    ],
)
def test_bad_lines_are_reported(text: bytes, reason: str) -> None:
    told = report("-", stdin=b"# first\n" + text + b"\nmaxclients 7\n")
    assert "at line 2 of standard input\n>>> '" + text.decode() in told
    assert reason in told


def test_bad_options_are_reported() -> None:
    assert "line 2 of the command line\n>>> 'port \"x\"'" in report("--timeout", "1", "--port", "x")
    Path("x").touch()
    assert "line 1 of the command line\n>>> 'y'\nBad directive" in report("x", "y")


def test_deprecated_directives_are_taken() -> None:
    config_of(b"list-max-ziplist-entries 5\nlua-replicate-commands yes\n")


def test_includes_are_read_in_place(tmp_path: Path) -> None:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (directory / "2.conf").write_bytes(b"timeout 2\n")
    (directory / "1.conf").write_bytes(b"timeout 1\nmaxclients 1\n")
    config = config_of(b"maxclients 9\ninclude conf.d/*.conf\ninclude none.d/*.conf\nport 5\n")
    assert (config[TIMEOUT], config[MAXCLIENTS], config[PORT]) == (2, 1, 5)


def test_an_include_is_looked_for_in_dir(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.conf").write_bytes(b"port 5\n")
    config = config_of(b"dir a\ninclude x.conf\nlogfile l\n")
    assert config[PORT] == 5
    assert config[DIR] == str(tmp_path / "a")
    assert (tmp_path / "a" / config[LOGFILE]).exists()


def test_a_circle_of_includes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_bytes(b"include b.conf\n")
    (tmp_path / "b.conf").write_bytes(b"include ./a.conf\n")
    assert f"line 1 of {tmp_path}/b.conf\n>>> 'include ./a.conf'" in report("a.conf")


def test_lines_of_other_services_are_handed_on() -> None:
    startup = started(
        "--sentinel",
        "-",
        stdin=b"user alice on >x\nloadmodule m.py a\nrename-command FLUSHALL ''\nm.x 1\nsentinel monitor y\n",
    )
    assert {name: line[0].words for name, line in startup.others.items()} == {
        "user": (b"user", b"alice", b"on", b">x"),
        "loadmodule": (b"loadmodule", b"m.py", b"a"),
        "rename-command": (b"rename-command", b"FLUSHALL", b""),
        "m.x": (b"m.x", b"1"),
        "sentinel": (b"sentinel", b"monitor", b"y"),
    }
    assert startup.others["loadmodule"][0].number == 2


def test_an_error_of_no_line_is_one_line() -> None:
    reason = "No such file or directory"
    path = Path("nowhere.conf").absolute()
    assert report("nowhere.conf") == f"Fatal error, can't open config file '{path}': {reason}\n"
    assert report(".") == f"Fatal error, can't open config file '{Path().absolute()}': Is a directory\n"


def test_the_port_of_the_bus_must_exist() -> None:
    """It is 10000 above the clients', where cluster-port does not say otherwise."""
    text = b"cluster-enabled yes\nport 55536"
    assert "port 55536'\nthe bus needs a port 10000 above this one" in report("-", stdin=text)
    assert config_of(b"cluster-enabled yes\nport 55535")[PORT] == 55535
    assert config_of(b"cluster-enabled yes\nport 65535\ncluster-port 1")[PORT] == 65535
    assert config_of(b"port 65535")[PORT] == 65535


def test_the_configuration_that_redis_ships_is_taken() -> None:
    path = Path("/etc/redis/redis.conf")
    if not path.exists():
        pytest.skip("redis-server's configuration is not installed")
    try:
        text = path.read_bytes()
    except PermissionError:
        pytest.skip("redis-server's configuration may not be read")
    lines = [line for line in text.splitlines() if not line.startswith((b"dir ", b"logfile "))]
    assert config_of(b"\n".join(lines))[CLUSTER_ENABLED] is False


def test_reasons_are_those_of_redis_server(redis_server_path: str) -> None:
    for text in (
        b"port abc",
        b"port 1 2",
        b'port "1',
        b"maxmemory x",
        b"save 1",
        b"client-output-buffer-limit a",
    ):
        done = subprocess.run(
            [redis_server_path, "-"], input=text, capture_output=True, check=False, timeout=10
        )
        theirs = done.stderr.decode().strip().splitlines()
        ours = report("-", stdin=text).strip().splitlines()
        assert theirs[-2:] == ours[-2:]
        assert ours[1].startswith(theirs[1])


@pytest.mark.parametrize("text", [b"requirepass two words", b"USER bob on >two (+get"])
def test_a_report_shows_no_password(text: bytes) -> None:
    line = Line("node.conf", 3, text)
    report = ConfigFileError("wrong", line).report("1.0")
    assert "at line 3 of node.conf" in report
    assert "two" not in report
