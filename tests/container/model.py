#!/usr/bin/env python3
"""model.py FOLDER: the scripted model server of the integration tests for the container run, three times:
on a port, on a port with TLS (FOLDER/server.pem), and on the Unix socket FOLDER/model/model.sock. Writes
the ports into FOLDER/ports and one line per request into FOLDER/asked, and stays until it is ended. The
second half of a chat is held back until the file FOLDER/go is there."""
import os
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from upstream import Gate, Upstream, default_rule, say

REPLY = "A reply that comes in two halves, the second when the first was seen."


def rules(folder, name, log):
    def open_on_request(gate):
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.005)
        gate.open()

    def rule(exchange):
        log.write(f"{name} {exchange.kind}\n")
        if exchange.kind != "chat":
            return default_rule(exchange)
        gate = Gate()
        threading.Thread(target=open_on_request, args=(gate,), daemon=True).start()
        return say(REPLY, gate=gate, hold_at=2)(exchange)
    return rule


def main():
    folder = sys.argv[1]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.path.join(folder, "server.pem"))
    unix = os.path.join(folder, "model", "model.sock")
    with open(os.path.join(folder, "asked"), "w", encoding="utf-8", buffering=1) as log:
        servers = {"tcp": Upstream(), "tls": Upstream(tls=tls), "unix": Upstream(unix=unix)}
        for name, server in servers.items():
            server.when("*", rules(folder, name, log))
        os.chmod(unix, 0o666)
        ports = os.path.join(folder, "ports")
        with open(ports + ".new", "w", encoding="ascii") as f:
            f.write(f"{servers['tcp'].port} {servers['tls'].port}\n")
        os.rename(ports + ".new", ports)
        threading.Event().wait()


if __name__ == "__main__":
    main()
