"""`python -m tests.servers redis rabbitmq`: servers for a person, until Ctrl-C."""

import contextlib
import signal
import sys

from tests.servers import SERVERS

ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main(names: list[str]) -> None:
    """Start the named servers, print where they are, and stop them when told to."""
    if not names or set(names) - set(SERVERS):
        sys.exit(f"usage: python -m tests.servers NAME...   names: {' '.join(SERVERS)}")
    for ending in ENDING:
        signal.signal(ending, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as running:
        for name in names:
            server = running.enter_context(SERVERS[name]())
            print(f"{name} {server.version}  {server.url}  pid {server.pid}", flush=True)
        print("ready; Ctrl-C stops them", flush=True)
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
