"""A real terminal under test: tmux with a server of its own, whose screen is what a person would see."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

LAB = str(Path(sys.executable).parent / "lb-lab")
TIMEOUT_S = 20.0


class Terminal:
    """One window that runs one command; all that the command writes is in the file ``raw``, too."""

    def __init__(self, folder: Path, command: list[str], width: int = 80, height: int = 24, **more: str) -> None:
        """Start the command in a terminal of this size; ``more``: its environment."""
        self.raw = folder / "raw"
        self._socket = folder / "tmux"
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **more}
        variables = [word for name, value in more.items() for word in ("-e", f"{name}={value}")]
        size = ["-x", str(width), "-y", str(height)]
        # The window waits for a line, so that nothing is written before the pipe is there.
        line = f"read _; {shlex.join(command)}; echo ended: $?; sleep 60"
        self._tmux("new-session", "-d", *size, *variables, line, environment=environment)
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("pipe-pane", f"cat >{shlex.quote(str(self.raw))}")
        self.keys("Enter")

    def screen(self, colours: bool = False) -> str:
        """What is on the screen now, with escape sequences if ``colours``."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def wait_for(self, words: str) -> str:
        """The screen, once ``words`` are on it and it stays as it is: a look may catch it half drawn."""
        deadline = time.monotonic() + TIMEOUT_S
        before, screen = "", self.screen()
        while words not in screen or screen != before:
            if time.monotonic() > deadline:
                raise AssertionError(f"{words!r} is not on the screen:\n{screen}")
            time.sleep(0.1)
            before, screen = screen, self.screen()
        return screen

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def close(self) -> None:
        """End the terminal and what runs in it."""
        self._tmux("kill-server")

    def _tmux(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
