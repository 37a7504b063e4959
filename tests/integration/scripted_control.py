"""A control socket with the answers that a test gives it, for what lullctl makes of states that a real
daemon reaches only in days, or on other machines.

    control = ScriptedControl({"/stats": {...}, "/readyz": {...}})
    control.answers["/stats"]["uptime_s"] = 5
    control.ctl("doctor")

An answer is a document, a number: a status without a document, or a list of byte strings: an event stream, which
stays open.
"""
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading

from lull import DEADLINE, LULLCTL, clean_environment


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answer = self.server.answers.get(self.path.partition("?")[0])
        if isinstance(answer, list):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in answer:
                self.wfile.write(piece)
                self.wfile.flush()
            self.server.ended.wait()
            self.close_connection = True
            return
        if isinstance(answer, int):
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = json.dumps(answer if answer is not None else {"error": "no such page"}).encode()
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class ScriptedControl:
    def __init__(self, answers):
        self.folder = tempfile.mkdtemp(prefix="lull-control-")
        self.control_path = os.path.join(self.folder, "c.sock")
        self.server = Server(self.control_path, Handler)
        self.server.answers = self.answers = answers
        self.server.ended = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def ctl(self, *arguments, **more):
        return subprocess.run([LULLCTL, "--socket", self.control_path, *arguments], capture_output=True, text=True,
                              timeout=DEADLINE, env=clean_environment(**more), check=False)

    def end_streams(self):
        self.server.ended.set()

    def close(self):
        self.end_streams()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)
