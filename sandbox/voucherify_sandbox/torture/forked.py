"""Start a Python program many times and import it once: a process that has imported it forks.

The child is a process of its own with the given pipes, environment and folder, and a child of the
caller, so it is waited for and killed like any other. Only the start of the interpreter and the
imports are saved, which are most of the time of a short run.

    python -m voucherify_sandbox.torture.forked FD PACKAGE   fork when a request comes through FD
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUBREAPER = 36
"""The option of Linux's `prctl` that makes a process the parent of orphans below it."""

MESSAGE_BYTES = 150_000

READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
"""Beginnings of environment variables that an interpreter reads when it starts."""

PLAIN = {
    "close_fds": True,
    "executable": None,
    "gid": None,
    "gids": None,
    "pass_fds": (),
    "preexec_fn": None,
    "process_group": -1,
    "shell": False,
    "start_new_session": False,
    "uid": None,
    "umask": -1,
}
"""The options of `Popen` with which a program is forked; with others it is started anew."""


class Forked(subprocess.Popen[bytes]):
    """A `Popen` whose child is forked if the command is a Python program of this environment."""

    def _execute_child(self, *given: Any) -> None:
        start = super()._execute_child  # type: ignore[misc] # as above
        options = inspect.signature(start).bind(*given).arguments
        program = _program(options["args"])
        environ = dict(os.environ if options["env"] is None else options["env"])
        is_plain = all(options.get(name, value) == value for name, value in PLAIN.items())
        if program is None or not is_plain or _at_start(environ) != _at_start(os.environ):
            start(*given)
            return
        request = {
            "arguments": program,
            "environ": environ,
            "cwd": os.fspath(options["cwd"] or Path.cwd()),
        }
        child_ends = [options[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if end == -1 else end for number, end in enumerate(child_ends)]
        self.pid = _server(program[0]).fork(request, streams)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(options[name] for name in pipes))  # type: ignore[attr-defined] # what every start ends with


def _program(args: Any) -> list[str] | None:
    """The package and the arguments of a command, unless it is no program of this environment."""
    line = [] if isinstance(args, (str, bytes)) else [os.fspath(part) for part in args]
    if sys.platform != "linux" or not line:
        return None
    if line[:2] == [sys.executable, "-m"] and not line[2].startswith("voucherify_sandbox"):
        return line[2:]
    package = _package(Path(line[0]))
    return None if package is None else [package, *line[1:]]


@cache
def _package(command: Path) -> str | None:
    """The package that a console script of this environment runs."""
    if command.parent != Path(sys.executable).parent:
        return None
    for script in entry_points(group="console_scripts", name=command.name):
        package, _, module = script.module.rpartition(".")
        return package if module == "__main__" else None
    return None


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(READ_AT_START)}


_ORPHANS = threading.Lock()
"""One child at a time, as its number is that of the next orphan."""


class _Server:
    """A process that has imported a package and forks."""

    def __init__(self, package: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Pipes, as the files of its own: a child inherits objects that cannot seek.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, str(theirs.fileno()), package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        atexit.register(self._end)

    def fork(self, request: dict[str, Any], streams: Sequence[int]) -> int:
        """Start a child with these standard streams; returns its number.

        Raises:
            RuntimeError: the server has ended; its words are on standard error.
        """
        libc = ctypes.CDLL(None)
        with _ORPHANS:
            libc.prctl(SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
                answer = self._socket.recv(MESSAGE_BYTES)
            finally:
                libc.prctl(SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise RuntimeError("The process that forks programs has ended.")
        return int(answer)

    def _end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.communicate()


@cache
def _server(package: str) -> _Server:
    return _Server(package)


def main(number: int, package: str) -> None:
    """Import a package and all its modules; run it in each fork."""
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{package}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=number) as server:
        request = _next_child(server)
    if request is None:
        return
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.argv = [package, *request["arguments"][1:]]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def _next_child(server: socket.socket) -> dict[str, Any] | None:
    """The request, in the process forked for it; `None` in this one when the socket is closed."""
    while True:
        words, streams, _, _ = socket.recv_fds(server, MESSAGE_BYTES, 3)
        if not words:
            return None
        child = _fork(streams)
        if child is None:
            request: dict[str, Any] = json.loads(words)
            return request
        server.send(str(child).encode())


def _fork(streams: Sequence[int]) -> int | None:
    """The number of a new orphan; `None` in the orphan, which takes the standard streams."""
    read, write = os.pipe()
    between = os.fork()
    if between == 0 and os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        _close(read, write, *streams)
        return None
    if between == 0:
        os._exit(0)
    # Now that its parent is gone, the child is one of the process that asked.
    os.waitpid(between, 0)
    child = os.read(read, 20)
    _close(read, write, *streams)
    return int(child)


def _close(*files: int) -> None:
    for number in files:
        os.close(number)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
