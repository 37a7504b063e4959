#!/usr/bin/env python3
"""What clients send reaches the model server, and its answers reach them, as without lull.

Random connections (client_forms.py), each made twice: to a model server, and through lull to another. The server's
answer is a function of the request's case, so that the two can be compared: what arrived (method, target, fields in
order, body, framing) and what came back (status, fields, body, the end of the connection). Fields that belong to one
connection are left out of both. A task is compared by what the answer says, since lull asks and answers it in its own way.

LULL_CLIENTS: how many connections; LULL_CLIENTS_SEED: others than those of the test."""
import json
import os
import random
import shutil
import socket
import tempfile
import threading
import time
import zlib

from client import Client, Cut
from client_forms import TASK_MOST, Session
from lull import SANITIZED, LullTest, eventually, main
from upstream import STREAM_TYPE, last_user_text, stream_events, whole_document

SESSIONS = int(os.environ.get("LULL_CLIENTS", 80 if SANITIZED else 250))
SHOWN = int(os.environ.get("LULL_CLIENTS_SHOWN", 6))
SEED = int(os.environ.get("LULL_CLIENTS_SEED", 20261130))
HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
       "proxy-authenticate", "proxy-authorization"}
ANSWER_FIELDS = (("X-Answer", "1"), ("set-cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), ("X-Empty", ""), ("x-latin", "\xe4\xff"),
                 ("Access-Control-Allow-Origin", "*"), ("Vary", "Origin"), ("Cache-Control", "no-store"), ("Server", "uvicorn"),
                 ("Date", "Mon, 30 Nov 2026 00:00:00 GMT"), ("ETag", '"x"'), ("X-Long", "l" * 3000), ("Allow", "GET, POST"),
                 ("Location", "http://127.0.0.1/x"), ("WWW-Authenticate", "Bearer"), ("Content-Encoding", "gzip"),
                 ("Accept-Ranges", "bytes"), ("X-Tab", "a\tb"), ("Via", "1.1 x"), ("Warning", '299 - "x"'), ("!odd~", "o"))


def field(fields, name):
    return next((v for n, v in fields if n.lower() == name), None)


def lines_of(head):
    """The fields of a head, with the blanks that HTTP knows taken off, and no others."""
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:] if line]
    return [(n.decode("latin-1"), v.strip(b" \t").decode("latin-1")) for n, _, v in pairs]


def shown(one, other):
    """What of it differs from the other: the end, where they are long."""
    same = len(os.path.commonprefix([one, other])) if isinstance(one, (bytes, str, list)) and type(one) is type(other) else 0
    return f"{len(one)} at {same}: {one[max(0, same - 30):same + 300]!r}" if same else f"{one!r}"[:600]


def framing(fields):
    length = field(fields, "content-length")
    return "chunked" if field(fields, "transfer-encoding") else int(length) if length else None


def end_to_end(fields, drop):
    named = {t.strip().lower() for n, v in fields if n.lower() == "connection" for t in v.split(",")}
    return [(n, v) for n, v in fields if n.lower() not in HOP | named and n.lower() not in drop]


def passed_target(target):
    """A target as lull hands it on."""
    path, mark, query = target.partition("?")
    while "//" in path:
        path = path.replace("//", "/")
    path = path.removeprefix("/@default") if path.startswith("/@default/") else path
    return path + mark + query


class Answers:
    """What the model server says to a case: the same each time."""

    def __init__(self, exchange):
        self.e = exchange
        self.case = field(lines_of(exchange.raw_head), "x-case") or ""
        self.rng = random.Random(f"answer {self.case}")

    @staticmethod
    def rule(exchange):
        answer = Answers(exchange)
        tokens = " ".join(v for n, v in exchange.headers if n.lower() == "connection").lower()
        exchange.keep = "close" not in tokens and field(exchange.headers, "x-last") is None and (exchange.version == "HTTP/1.1" or "keep-alive" in tokens)
        (answer.plain if exchange.kind in ("other", "models", "embed") else answer.model)()
        if not exchange.keep:
            answer.close()

    def close(self):
        """As servers do: what the client has sent behind is read, or the client would lose the answer."""
        try:
            self.e.connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return
        while self.e.connection.fill():
            self.e.connection.buffer = b""

    def model(self):
        """A chat, or a task: the text is a function of the last message only."""
        e = self.e
        text = last_user_text(e.json)
        mark = f"{zlib.crc32(text.encode()):08x}"
        content = {"title": {"title": mark}, "tags": {"tags": [mark, "b"]}, "follow_up": {"follow_ups": [mark, "and?"]},
                   "query": {"queries": [mark]}, "autocomplete": {"text": mark}}.get(e.kind)
        content = json.dumps(content) if content else "\U0001f60a" if e.kind == "emoji" else f"Reply to {mark}. " + "w " * self.rng.randint(0, 400)
        e.serial = 1
        if e.streaming:
            e.keep = e.keep and e.version == "HTTP/1.1"
            e.head(200, [("Content-Type", STREAM_TYPE[e.dialect])] + self.fields(), chunked=e.version == "HTTP/1.1")
            for event in stream_events(e, content):
                e.piece(event)
            e.end()
        else:
            e.full(200, "application/json", json.dumps(whole_document(e, content)), self.fields())

    def fields(self):
        picked = [f for f in self.rng.sample(ANSWER_FIELDS, self.rng.randint(0, 5)) if f[0] != "Content-Encoding"]
        return picked

    def plain(self):
        e, r = self.e, self.rng
        status = r.choices((200, 201, 204, 206, 304, 400, 404, 416, 429, 500, 503, 299, 599), (50, 3, 5, 5, 5, 3, 5, 2, 2, 2, 2, 1, 1))[0]
        fields = r.sample(ANSWER_FIELDS, r.randint(0, 6)) + [("X-Case", self.case)]
        if r.random() < .1:
            fields += [("Connection", "X-Mine"), ("X-Mine", "1")]
        body = r.randbytes(r.choice((0, 1, 100, 100, 5000, 16384, 65536, 65537, 300000)))
        if e.method == "HEAD":
            return e.head(status, fields, length=len(body) if status not in (204, 304) else None, chunked=False)
        if status in (204, 304):
            return e.head(status, fields, chunked=False)
        way = r.choice(("length", "length", "chunked", "chunked", "close"))
        if way == "close" and field(e.headers, "x-last"):
            e.head(status, fields, chunked=False)
        elif way == "length" or e.version == "HTTP/1.0":
            e.head(status, fields, length=len(body))
        else:
            e.head(status, fields)
        for at in range(0, len(body), most := r.choice((100000, 20000, 1000 if len(body) < 20000 else 30000))):
            e.piece(body[at:at + most])
        e.end()


class Talk:
    """One connection of a session: sends in one thread, reads in another."""

    def __init__(self, session, port):
        rng = random.Random(session.seed)
        self.session, self.rng = session, rng
        for request in session.requests:
            request.write(random.Random(f"{session.seed} {request.case}"), port)
        self.client = Client(port, receive_buffer=4096 if session.slow else None, timeout=40)
        self.answers, self.trouble, self.closed = [], None, False
        self.changed = threading.Condition()
        self.continued = 0
        self.left = sum(len(r.raw_head) + len(r.raw_body) for r in session.requests) + len(session.extra)
        if session.end != "whole":
            self.left = int(self.left * session.at)
        self.stopped = threading.Event()
        reader = threading.Thread(target=self.read, daemon=True)
        reader.start()
        self.send_all()
        if session.end in ("close", "reset"):
            self.stopped.set()
            try:
                self.client.sock.shutdown(socket.SHUT_RD)  # wakes the reader
            except OSError:
                pass
        reader.join(60)
        if reader.is_alive():
            self.trouble = "the reader is stuck"
        getattr(self.client, "reset" if session.end == "reset" else "close")()

    # -- reading ---------------------------------------------------------------------------------
    def read(self):
        try:
            for request in self.session.requests:
                self.client.method = request.method
                self.answers.append(self.one())
                with self.changed:
                    self.changed.notify_all()
            self.closed = self.session.requests[-1].last and self.client.at_end(20)
            if self.client.buffer:
                self.trouble = f"behind the last answer: {self.client.buffer[:200]!r}"
        except (Cut, OSError, ValueError) as e:
            self.trouble = None if self.stopped.is_set() else f"{type(e).__name__} {e}"
            self.closed = isinstance(e, (Cut, ConnectionError))
        finally:
            with self.changed:
                self.stopped.set()
                self.changed.notify_all()

    def one(self):
        client = self.client
        if self.session.slow:
            client.fill = self.fill_little
        while True:
            response = self.head()
            if response is not None:
                client.read_body(response)
                if self.stopped.is_set() and response.header("Content-Length") is None:
                    raise Cut("this side has closed: it may not be the end")
                return response

    def head(self):
        """The head of an answer; None behind a 100."""
        client = self.client
        while b"\r\n\r\n" not in client.buffer:
            if not client.fill():
                raise Cut("the connection ended")
        if client.buffer.startswith(b"HTTP/1.1 100"):
            client.read_until(b"\r\n\r\n")
            with self.changed:
                self.continued += 1
                self.changed.notify_all()
            return None
        return client.response_head()

    def fill_little(self, deadline=None):
        client = self.client
        client.sock.settimeout(40)
        try:
            data = client.sock.recv(self.rng.choice((300, 2000, 9000)))
        except ConnectionResetError:
            data = b""
        client.buffer += data
        client.eof = not data
        return bool(data)

    # -- sending ---------------------------------------------------------------------------------
    def send_all(self):
        pending = b""
        for n, request in enumerate(self.session.requests):
            if request.waits and n:
                self.send(pending)
                pending = b""
                self.until(lambda n=n: len(self.answers) >= n)
            if request.expects == "waits":
                before = self.continued
                self.send(pending + request.raw_head)
                self.until(lambda n=n, before=before: self.continued > before or len(self.answers) > n)
                pending = request.raw_body
            else:
                pending += request.raw_head + request.raw_body
            if self.left <= 0 or self.stopped.is_set():
                break
        self.send(pending + self.session.extra)
        if self.session.end == "half" and not self.stopped.is_set():
            try:
                self.client.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def until(self, test):
        if self.left <= 0:
            return
        with self.changed:
            if not self.changed.wait_for(lambda: test() or self.stopped.is_set(), 60):
                self.trouble = "no answer that the next request waits for"

    def send(self, data):
        data = data[:max(0, self.left)]
        self.left -= len(data)
        pieces = 0
        while data and not self.stopped.is_set():
            most = len(data) if self.session.cut is None or pieces > 60 else self.rng.randint(1, 2 * self.session.cut)
            try:
                self.client.send(data[:most])
            except OSError:
                return
            data, pieces = data[most:], pieces + 1
            if pieces % 7 == 0:
                time.sleep(0)  # the other side may read between two pieces


class ClientForms(LullTest):
    def compare_records(self, request, direct, via):
        """What is different in what arrived."""
        want, have = lines_of(direct.raw_head), lines_of(via.raw_head)
        drop = {"host", "content-length", "expect"}
        pairs = {"method": (direct.method, via.method), "version": ("HTTP/1.1", via.version),
                 "target": (passed_target(request.target), via.target),
                 "fields": (end_to_end(want, drop), end_to_end(have, drop)),
                 "host": (f"127.0.0.1:{via.server.port}", field(have, "host")),
                 "framing": (framing(want), framing(have))}
        if framing(have) == len(via.body) and request.kind not in ("chat", "other"):
            del pairs["framing"]  # a task is written again, with its length
        if direct.body_done.is_set() and via.body_done.is_set():
            pairs["body"] = (direct.body, via.body)
        return self.different(pairs)

    def compare_answers(self, request, direct, via):
        """What is different in what came back."""
        want, have = lines_of(direct.raw_head), lines_of(via.raw_head)
        drop = {"content-length"} | ({"x-lull-task", "cache-status"} if request.kind != "other" else set())
        pairs = {"status": ((direct.status, direct.reason), (via.status, via.reason)), "body": (bytes(direct.body), bytes(via.body)),
                 "fields": (end_to_end(want, drop), end_to_end(have, drop))}
        if field(want, "content-length") is not None and request.minor == 1:
            pairs["length"] = (field(want, "content-length"), field(have, "content-length"))
        if request.kind not in ("other", "chat") and via.task is not None and "fwd=bypass" not in via.cache_status:
            pairs = {"status": (direct.status, via.status), "kind": (request.kind, via.task),
                     "content": (direct.content, via.content)}
        if request.minor == 1 or field(have, "content-length") is not None:  # else the close may be the answer's end
            says = "close" if request.last else "keep-alive" if request.minor == 0 else None
            pairs["connection"] = (says, field(have, "connection"))
        return self.different(pairs)

    @staticmethod
    def different(pairs):
        return [f"{what}: {shown(a, b)} became {shown(b, a)}" for what, (a, b) in pairs.items() if a != b]

    def compare(self, session, direct, via):
        """What is wrong with the answers of a session."""
        wrong = []
        for request, a, b in zip(session.requests, direct.answers, via.answers):
            if b.status == 408 or (b.header("X-Lull-Error") and session.end != "whole"):
                break  # half a request
            wrong += [f"{request.case}, answer, {what}" for what in self.compare_answers(request, a, b)]
        if session.end == "whole":
            fewer = len(via.answers) < len(direct.answers)
            last = via.answers[-1] if via.answers else None
            ends = last and session.requests[len(via.answers) - 1].minor == 0 and last.header("Content-Length") is None
            if direct.trouble and not ends:
                wrong.append(f"directly: {direct.trouble}")
            if (fewer or via.trouble) and not ends:
                wrong.append(f"{len(direct.answers)} answers became {len(via.answers)}: {via.trouble}")
            if direct.closed != via.closed and not ends:
                wrong.append(f"closed: {direct.closed} became {via.closed}")
        return [f"{w}\n  {session}" for w in wrong]

    def run_part(self, part, ports):
        for n in range(part, SESSIONS, 4):
            session = Session(random.Random(f"{SEED} {n}"), f"{SEED}.{n}")
            try:
                whole, end = session.end, session.at
                session.end = "whole"
                direct = Talk(session, ports[0])
                session.end, session.at = whole, end
                wrong = self.compare(session, direct, Talk(session, ports[1]))
            except Exception as e:  # noqa: BLE001
                wrong = [f"session {n}: {type(e).__name__} {e}"]
            with self.guard:
                self.wrong += wrong
                self.sessions.append(session)

    def records(self, up):
        found = {}
        for e in up.matching():
            found.setdefault(field(lines_of(e.raw_head), "x-case"), []).append(e)
        return found

    def compare_arrivals(self, up, behind, asks):
        """asks: whether tasks are asked in lull's own way."""
        direct, via = self.records(up), self.records(behind)
        for session in self.sessions:
            for request in session.requests:
                a, b = direct.get(request.case, []), via.get(request.case, [])
                if asks and request.kind not in ("other", "chat") and not (a and b and b[0].body == a[0].body):
                    continue
                if len(b) > 1 or (not b and session.end == "whole" and request.minor == 1 and not any(r.minor == 0 for r in session.requests)):
                    self.wrong.append(f"{request.case} arrived {len(b)} times: {request}")
                if not a and not any(r.minor == 0 for r in session.requests):
                    self.wrong.append(f"{request.case} never arrived directly: {request.raw_head[:600]!r}")
                for one in b[:1] if a else []:
                    self.wrong += [f"{request.case}, request, {what}\n  {request}\n  {one.raw_head[:600]!r}"
                                   for what in self.compare_records(request, a[0], one)]
        stray = set(via) - set(direct)
        if stray:
            self.wrong.append(f"never sent: {sorted(map(str, stray))[:5]}")

    def run_sessions(self, mode, lull_of):
        """lull_of(the server): the lull that the clients speak to."""
        up, behind = self.upstream(), self.upstream()
        for server in (up, behind):
            server.when("*", Answers.rule)
        lull = lull_of(behind)
        self.guard, self.wrong, self.sessions = threading.Lock(), [], []
        threads = [threading.Thread(target=self.run_part, args=(part, (up.port, lull.port))) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in self._lulls:
            one.wait_stats(lambda s: s["chat"]["open"] == 0 and s["upstreams"]["default"]["running"] == 0)
        eventually(lambda: lull.stats()["connections"]["open"] == 0)
        self.compare_arrivals(up, behind, mode == "on")
        if self.wrong:
            self.fail("\n\n".join([f"{len(self.wrong)} differences in {SESSIONS} connections"] + self.wrong[:SHOWN]))

    def of_mode(self, mode, to, server="", **more):
        return self.lull(to, tasks=f"mode = {mode}\nretry_shape = 0\nprefix = as-asked", server=f"max_task_body = {TASK_MOST}\n{server}",
                         more="[task autocomplete]\ndebounce = off\n[task title]\nfirst_turn_wait = 0", **more)

    def test_tasks_are_answered(self):
        self.run_sessions("on", lambda up: self.of_mode("on", up))

    def test_tasks_are_observed(self):
        self.run_sessions("observe", lambda up: self.of_mode("observe", up))

    def test_no_tasks_and_two_in_a_row(self):
        def two(up):
            path = os.path.join(tempfile.mkdtemp(prefix="lull-"), "l.sock")
            self.addCleanup(shutil.rmtree, os.path.dirname(path))
            self.of_mode("off", up, listen=f"unix:{path}")
            return self.of_mode("off", f"unix:{path}")
        self.run_sessions("off", two)


if __name__ == "__main__":
    main()
