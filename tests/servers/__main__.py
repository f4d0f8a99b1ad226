"""`python -m tests.servers redis rabbitmq`: servers for a person, until Ctrl-C.

python -m tests.servers                       lists the names
python -m tests.servers NAME...               starts servers
python -m tests.servers --download [NAME...]  gets what has to be downloaded, and ends
"""

import argparse
import contextlib
import signal
import sys

from tests.servers import ALL, ServerFailed

ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", epilog=listing())
    parser.add_argument("names", nargs="*", metavar="NAME", help="a server to start")
    parser.add_argument("--download", action="store_true", help="download only")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ALL):
        parser.error(f"no such server: {' '.join(sorted(unknown))}; {listing()}")
    try:
        if arguments.download:
            download(arguments.names or list(ALL))
        elif arguments.names:
            run(arguments.names)
        else:
            parser.print_help()
    except ServerFailed as failure:
        sys.exit(str(failure))


def listing() -> str:
    """All names, in one line."""
    return f"names: {' '.join(ALL)}"


def download(names: list[str]) -> None:
    """Fill the cache, so that no test has to wait for it."""
    for name in names:
        ALL[name]().download()


def run(names: list[str]) -> None:
    """Start servers, print where they are, and stop them when told to."""
    for ending in ENDING:
        signal.signal(ending, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as running:
        for name in names:
            server = ALL[name]()
            running.enter_context(server)
            pids = ",".join(map(str, server.pids))
            print(f"{name} {server.version}  {server.url}  pid {pids}", flush=True)
        print("ready; Ctrl-C stops them", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
