"""Wait until each HOST:PORT resolves and accepts a connection; exit code 1 with the reason after half a minute."""

import socket
import sys
import time

LIMIT_S = 30
ATTEMPT_S = 0.5


def main(targets):
    deadline = time.monotonic() + LIMIT_S
    for target in targets:
        host, _, port = target.rpartition(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=ATTEMPT_S).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    return f"{target} leads nowhere after {LIMIT_S} s: {error}"
                time.sleep(0.05)
    return 0


sys.exit(main(sys.argv[1:]))
