"""Where the processes that use mtia_sim can be asked what they do: a socket each in a folder of the user."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from mtia_sim import _C

_PATIENCE_SECONDS = 1.0


def folder() -> Path:
    """MTIA_SIM_RUNTIME_DIR, or mtia_sim in the user's runtime folder, or a folder of the user in /tmp."""
    chosen = os.environ.get("MTIA_SIM_RUNTIME_DIR")
    if chosen:
        return Path(chosen)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "mtia_sim" if runtime else Path(f"/tmp/mtia_sim-{os.getuid()}")


def serve() -> None:
    """Answers whoever asks for this process's state, at no cost while nobody does. Where the folder cannot be made, or
    belongs to somebody else, nobody can ask."""
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.stat().st_uid != os.getuid():
            return
    except OSError:
        return
    _C.serve_status(str(place / f"{os.getpid()}.sock"))


def processes() -> list[dict[str, Any]]:
    """The state of every process of this user that uses mtia_sim, by process id; sockets that killed processes left
    behind are removed."""
    states = []
    for path in sorted(folder().glob("*.sock")):
        try:
            states.append(_ask(path))
        except (ConnectionRefusedError, FileNotFoundError):
            # One that starts is refused too, between its socket's name and its readiness.
            if not Path("/proc", path.stem).exists():
                path.unlink(missing_ok=True)
        except (OSError, ValueError):
            continue  # busy, or going
    return sorted(states, key=lambda state: int(state["pid"]))


def _ask(path: Path) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        connection.connect(str(path))
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
    state: dict[str, Any] = json.loads(answer)
    state["command"] = _command_of(int(state["pid"]))
    return state


def _command_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return "?"
    return " ".join(word.decode(errors="replace") for word in words)
