#!/usr/bin/env python3
"""model.py PORTFILE LOGFILE: the scripted model server of the integration tests for the container run:
writes its port into PORTFILE, one line per request into LOGFILE, and stays until it is ended."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from upstream import Upstream, default_rule


def main():
    with open(sys.argv[2], "w", encoding="utf-8", buffering=1) as log:
        def rule(exchange):
            log.write(f"{exchange.method} {exchange.target}\n")
            default_rule(exchange)
        server = Upstream()
        server.when("*", rule)
        with open(sys.argv[1] + ".new", "w", encoding="ascii") as f:
            f.write(str(server.port))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        threading.Event().wait()


if __name__ == "__main__":
    main()
