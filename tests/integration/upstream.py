"""A scripted model server on raw sockets, of both types (OpenAI and Ollama), one thread a connection.

Every request is recorded with its head and body as they came. What is answered is decided by rules,
each a function of the exchange; an exchange can be held at a barrier, cut at any byte, reset, or
answered with whatever bytes a test wants. Without rules every task gets a good answer with a serial
number in it, so that a test can tell the answers of two calls apart.

Nothing here sleeps to synchronise: tests wait for counts (`wait_for`) and open barriers (`Gate`).
"""
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time

from client import ready

SIGNATURES = [
    ("title", "### Task:\nGenerate a concise title summarizing"),
    ("title", "### Task:\nGenerate a concise, 3-5 word title"),
    ("title", "Create a concise, 3-5 word title"),
    ("tags", "### Task:\nGenerate 1-3 broad tags"),
    ("follow_up", "### Task:\nSuggest 3-5 relevant follow-up"),
    ("follow_up", "### Task:\nPredict 3-5 useful messages this user might"),
    ("query", "### Task:\nAnalyze the chat history to determine the necessity"),
    ("image_prompt", "### Task:\nGenerate a detailed prompt for am image"),
    ("autocomplete", "### Task:\nYou are an autocompletion system"),
    ("emoji", "Your task is to reflect the speaker's likely facial"),
    ("moa", "You have been provided with a set of responses from various models"),
    ("context_compaction", "### Task:\nSummarize the conversation history that will be compacted"),
]
SYSTEM_SIGNATURES = [
    ("tool_selection", "Available Tools:"),
    ("memory_review", "You are Open WebUI's private memory reviewer"),
]
MODELS = {"openai": ["qwen3-8b", "gemma3-4b", "qwen3-0.6b"], "ollama": ["llama3.2:3b", "qwen3:0.6b"]}
DEADLINE = 30.0


BEHIND = "This is a separate task about the conversation above"


class Gone(Exception):
    """The other side went away while we were answering."""


class Gate:
    """A barrier: exchanges wait at it until the test opens it. Counts who has arrived."""

    def __init__(self):
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.arrived = 0

    def arrive(self):
        with self._lock:
            self.arrived += 1

    def open(self):
        self._open.set()

    def is_open(self):
        return self._open.is_set()


def message_text(message):
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return "\n".join(p.get("text", "") for p in content
                         if isinstance(p, dict) and p.get("type") in ("text", "input_text"))
    return content if isinstance(content, str) else ""


def kind_of(path, document):
    """The kind of a request by route and prompt text, in lull's names."""
    path = path.split("?")[0].replace("//", "/")
    if path.endswith(("/models", "/api/tags")):
        return "models"
    if path.endswith(("/embeddings", "/api/embed")):
        return "embed"
    if not path.endswith(("/chat/completions", "/api/chat", "/api/generate", "/completions",
                          "/responses")):
        return "other"
    if not isinstance(document, dict):
        return "other"
    if "input" in document:
        given = document["input"]
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    elif "prompt" in document and "messages" not in document:
        messages = [{"role": "user", "content": document["prompt"]}]
    else:
        messages = document.get("messages") or []
    if not messages:
        return "chat"
    first, last = message_text(messages[0]), message_text(messages[-1])
    for kind, text in SYSTEM_SIGNATURES:
        if messages[0].get("role") in ("system", "developer") and first.startswith(text):
            return kind
    behind = last.startswith(BEHIND)  # the instruction behind a conversation
    last = last[last.index("\n\n") + 2:] if behind else last
    for kind, text in SIGNATURES:
        if last.startswith(text) and (behind or len(messages) <= 2):
            return kind
    return "chat"


def good_content(kind, serial):
    """A good answer of that kind; the serial number makes the answers of two calls differ."""
    return {
        "title": json.dumps({"title": f"Title {serial}"}),
        "tags": json.dumps({"tags": ["Technology", f"Tag {serial}"]}),
        "follow_up": json.dumps({"follow_ups": [f"What next, {serial}?", "And then?"]}),
        "query": json.dumps({"queries": [f"query {serial}", "second query"]}),
        "autocomplete": json.dumps({"text": f" and so on {serial}"}),
        "emoji": "\U0001f60a",
        "image_prompt": json.dumps({"prompt": f"A lighthouse at dawn, {serial}"}),
        "tool_selection": json.dumps({"tool_calls": []}),
        "memory_review": json.dumps({"operations": []}),
        "context_compaction": f"Summary {serial} of the conversation so far.",
    }.get(kind, f"Reply number {serial}. It goes on for a few words more, \u00e4\u00f6\u00fc \U0001f680.")


class Exchange:
    """One request as it came, and the means to answer it."""

    def __init__(self, server, connection, nth, raw_head):
        self.server, self.connection, self.nth = server, connection, nth
        self.raw_head = raw_head
        lines = raw_head.split(b"\r\n")
        self.method, self.target, self.version = lines[0].decode("latin-1").split(" ", 2)
        self.path = self.target.split("?")[0]
        self.headers = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(b":")
                self.headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        self.raw_body = b""   # as it came, with chunk framing
        self.body = b""       # without
        self.body_bytes = 0   # counted also where the body is not kept
        self.body_digest = None
        self.json = None
        self.kind = "other"
        self.serial = 0
        self.arrived = time.monotonic()
        self.body_done = threading.Event()
        self.gone = threading.Event()      # the client closed before the answer was complete
        self.finished = threading.Event()  # answered, cut or gone
        self.sent = b""       # the answer as sent, with framing
        self.sent_bytes = 0
        self.payload = b""    # the answer's body without framing
        self.keep = self.version == "HTTP/1.1"
        self._chunked = False

    def header(self, name):
        for n, v in self.headers:
            if n.lower() == name.lower():
                return v
        return None

    @property
    def is_probe(self):
        """Whether it is lull's own question: what the server is."""
        return (self.path.endswith(("/props", "/api/version"))
                and (self.header("User-Agent") or "").startswith("lulld/"))

    @property
    def dialect(self):
        return "ollama" if "/api/" in self.path else "openai"

    @property
    def streaming(self):
        if not isinstance(self.json, dict):
            return False
        return bool(self.json.get("stream", self.dialect == "ollama"))

    # -- sending ---------------------------------------------------------------------------------
    def raw(self, data):
        if self.gone.is_set():
            raise Gone()
        view = memoryview(data)
        sock = self.connection.sock
        while len(view):
            if self.connection.peer_gone():
                self.gone.set()
                raise Gone()
            try:
                n = sock.send(view[:262144])
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.connection.wait(write=True)
                continue
            except OSError:
                self.gone.set()
                raise Gone() from None
            self.sent_bytes += n
            if self.sent_bytes < 4 << 20:
                self.sent += bytes(view[:n])
            view = view[n:]

    def head(self, status=200, headers=(), length=None, chunked=None, reason=None):
        self._chunked = length is None if chunked is None else chunked
        lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
        lines += [f"{n}: {v}" for n, v in headers]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        elif self._chunked:
            lines.append("Transfer-Encoding: chunked")
        self.raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def piece(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.payload += data
        self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def end(self):
        if self._chunked:
            self.raw(b"0\r\n\r\n")

    def full(self, status, content_type, body, headers=()):
        if isinstance(body, str):
            body = body.encode()
        self.payload = body
        head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"Content-Type: {content_type}"]
        head += [f"{n}: {v}" for n, v in headers] + [f"Content-Length: {len(body)}"]
        self.raw(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body)

    # -- misbehaving -----------------------------------------------------------------------------
    def hold(self, gate, timeout=DEADLINE):
        """Waits at the gate; raises Gone at once when the other side closes."""
        gate.arrive()
        end = time.monotonic() + timeout
        while not gate.is_open():
            if self.connection.peer_gone():
                self.gone.set()
                raise Gone()
            if time.monotonic() > end:
                raise AssertionError("a gate was never opened")
            self.connection.wait(timeout=0.005)

    def pause(self, seconds):
        """Time that a model takes; raises Gone at once when the other side closes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.connection.peer_gone():
                self.gone.set()
                raise Gone()
            self.connection.wait(timeout=min(0.02, max(0.001, end - time.monotonic())))

    def cut(self):
        """Closes the connection (FIN)."""
        self.keep = False
        self.connection.close()
        raise Gone()

    def reset(self):
        """Closes it with RST."""
        self.keep = False
        try:
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                            struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.connection.close()
        raise Gone()


REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request",
           404: "Not Found", 422: "Unprocessable Entity", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable"}


# -- answers ---------------------------------------------------------------------------------------
def split_text(text, size=6):
    return [text[i:i + size] for i in range(0, len(text), size)] or [""]


def usage_of(exchange, text):
    return max(1, len(exchange.body) // 4), len(split_text(text))


def stream_events(exchange, text, finish="stop", model=None, end_mark=True):
    """The pieces of a streamed answer in the exchange's dialect, end mark included."""
    document = exchange.json if isinstance(exchange.json, dict) else {}
    model = model or document.get("model", "?")
    tokens_in, tokens_out = usage_of(exchange, text)
    events = []
    if exchange.dialect == "openai":
        base = {"id": f"chatcmpl-{exchange.serial}", "object": "chat.completion.chunk",
                "created": 1760000000, "model": model}

        def event(delta, fin=None):
            choice = {"index": 0, "delta": delta, "finish_reason": fin}
            return "data: " + json.dumps({**base, "choices": [choice]}, ensure_ascii=False) + "\n\n"
        events.append(event({"role": "assistant", "content": ""}))
        events += [event({"content": p}) for p in split_text(text)]
        if finish is not None:
            events.append(event({}, finish))
        if (document.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out,
                     "total_tokens": tokens_in + tokens_out}
            events.append("data: " + json.dumps({**base, "choices": [], "usage": usage}) + "\n\n")
        if end_mark:
            events.append("data: [DONE]\n\n")
        return events
    base = {"model": model, "created_at": "2026-01-02T03:04:05.000000Z"}
    generate = exchange.path.endswith("/api/generate")

    def line(piece, **more):
        body = {"response": piece} if generate else {"message": {"role": "assistant", "content": piece}}
        return json.dumps({**base, **body, **more}, ensure_ascii=False) + "\n"
    events += [line(p, done=False) for p in split_text(text)]
    if end_mark:
        events.append(line("", done=True, done_reason=finish, total_duration=250000000,
                           load_duration=1000000, prompt_eval_count=tokens_in,
                           prompt_eval_duration=1000000, eval_count=tokens_out,
                           eval_duration=200000000))
    return events


def whole_document(exchange, text, finish="stop", model=None):
    document = exchange.json if isinstance(exchange.json, dict) else {}
    model = model or document.get("model", "?")
    tokens_in, tokens_out = usage_of(exchange, text)
    if exchange.path.endswith("/responses"):
        return {"id": f"resp_{exchange.serial}", "object": "response", "created_at": 1760000000,
                "status": "completed", "model": model,
                "output": [{"type": "message", "id": "msg_1", "role": "assistant",
                            "status": "completed",
                            "content": [{"type": "output_text", "text": text, "annotations": []}]}],
                "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out,
                          "total_tokens": tokens_in + tokens_out}}
    if exchange.dialect == "openai":
        choice = {"index": 0, "message": {"role": "assistant", "content": text},
                  "finish_reason": finish}
        return {"id": f"chatcmpl-{exchange.serial}", "object": "chat.completion",
                "created": 1760000000, "model": model, "choices": [choice],
                "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out,
                          "total_tokens": tokens_in + tokens_out}}
    body = ({"response": text} if exchange.path.endswith("/api/generate")
            else {"message": {"role": "assistant", "content": text}})
    return {"model": model, "created_at": "2026-01-02T03:04:05.000000Z", **body, "done": True,
            "done_reason": finish, "total_duration": 250000000, "load_duration": 1000000,
            "prompt_eval_count": tokens_in, "prompt_eval_duration": 1000000,
            "eval_count": tokens_out, "eval_duration": 200000000}


STREAM_TYPE = {"openai": "text/event-stream", "ollama": "application/x-ndjson"}


def say(text, finish="stop", gate=None, hold_at=None, model=None, end_mark=True):
    """A rule: answers with that text, streamed or whole as asked. With a gate it is held there:
    before the head (hold_at=None), or before the hold_at-th event of the stream (-1: the last)."""
    def rule(exchange):
        content = text(exchange) if callable(text) else text
        if not exchange.streaming or exchange.path.endswith("/responses"):
            if gate is not None:
                exchange.hold(gate)
            exchange.full(200, "application/json",
                          json.dumps(whole_document(exchange, content, finish, model),
                                     ensure_ascii=False))
            return
        if gate is not None and hold_at is None:
            exchange.hold(gate)
        exchange.head(200, [("Content-Type", STREAM_TYPE[exchange.dialect]),
                            ("Cache-Control", "no-cache")])
        events = stream_events(exchange, content, finish, model, end_mark)
        stop = None if hold_at is None else hold_at % len(events)
        for i, event in enumerate(events):
            if gate is not None and i == stop:
                exchange.hold(gate)
            exchange.piece(event)
        exchange.end()
    return rule


def good(gate=None, hold_at=None):
    """A rule: the good answer of the kind asked for, with the serial number of the call."""
    return say(lambda e: good_content(e.kind, e.serial), gate=gate, hold_at=hold_at)


def after(seconds, rule):
    """A rule: what `rule` answers, after a time that the model takes. A test that expects more than 0 of the
    model's time needs it: lull's clock stands still during a turn of its loop."""
    def later(exchange):
        exchange.pause(seconds)
        rule(exchange)
    return later


def status(code, body=None, content_type="application/json", headers=(), gate=None):
    """A rule: an error of the model server's own."""
    def rule(exchange):
        if gate is not None:
            exchange.hold(gate)
        text = body
        if text is None:
            text = json.dumps({"error": {"message": "the model says no", "type": "server_error"}}
                              if exchange.dialect == "openai" else {"error": "the model says no"})
        exchange.full(code, content_type, text, headers)
    return rule


def rendered(exchange, text, finish="stop"):
    """The whole answer as bytes on the wire: (bytes, offset of the body)."""
    if not exchange.streaming:
        body = json.dumps(whole_document(exchange, text, finish), ensure_ascii=False).encode()
        head = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        return head + body, len(head)
    head = (f"HTTP/1.1 200 OK\r\nContent-Type: {STREAM_TYPE[exchange.dialect]}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n").encode()
    out = b""
    for event in stream_events(exchange, text, finish):
        data = event.encode()
        out += b"%x\r\n%s\r\n" % (len(data), data)
    return head + out + b"0\r\n\r\n", len(head)


def cut_at(position, text=None, how="cut", gate=None):
    """A rule: sends the answer's bytes up to `position` (a number; negative from the end; or a
    function of (bytes, offset of the body)), then closes or resets."""
    def rule(exchange):
        content = text if text is not None else good_content(exchange.kind, exchange.serial)
        data, body_at = rendered(exchange, content)
        n = position(data, body_at) if callable(position) else position
        exchange.raw(data[:n])
        if gate is not None:
            exchange.hold(gate)
        getattr(exchange, how)()
    return rule


def error_in_stream(after=2):
    """A rule: a 200 stream with an error object in it, as servers do when generation fails."""
    def rule(exchange):
        if not exchange.streaming:
            exchange.full(500, "application/json", json.dumps({"error": "out of memory"}))
            return
        exchange.head(200, [("Content-Type", STREAM_TYPE[exchange.dialect])])
        events = stream_events(exchange, good_content(exchange.kind, exchange.serial))
        for event in events[:after]:
            exchange.piece(event)
        error = ({"error": {"message": "out of memory", "type": "server_error", "code": 500}}
                 if exchange.dialect == "openai" else {"error": "out of memory"})
        text = json.dumps(error)
        exchange.piece(f"data: {text}\n\n" if exchange.dialect == "openai" else text + "\n")
        exchange.end()
    return rule


def refuse_changes(allowed=("model", "messages", "max_tokens", "options"), code=400):
    """A rule: a strict server that accepts neither streaming nor stream_options."""
    def rule(exchange):
        unknown = [k for k in exchange.json if k not in allowed
                   and not (k == "stream" and exchange.json[k] is False)]
        if unknown:
            status(code, json.dumps({"error": {"message": f"unknown field {unknown[0]}"}}))(exchange)
        else:
            good()(exchange)
    return rule


class Connection:
    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.buffer = b""
        self.eof = False
        self.closed = threading.Event()

    def wait(self, write=False, timeout=0.02):
        try:
            if self.eof and not write:
                time.sleep(timeout)
            else:
                ready(self.sock, timeout, read=not self.eof, write=write)
        except (OSError, ValueError):
            self.eof = True

    def fill(self, block=True):
        """Reads what is there; False at the end."""
        while True:
            try:
                data = self.sock.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError):
                if not block:
                    return True
                self.wait(timeout=0.5)
                if self.server.stopping:
                    return False
                continue
            except OSError:
                data = b""
            if not data:
                self.eof = True
                return False
            self.buffer += data
            return True

    def peer_gone(self):
        """Whether the other side has closed; bytes that came meanwhile are kept."""
        if not self.eof:
            try:
                came = ready(self.sock, 0)
            except (OSError, ValueError):
                came, self.eof = False, True
            if came:
                self.fill(block=False)
        return self.eof or self.server.stopping

    def close(self):
        self.eof = True
        try:
            self.sock.close()
        except OSError:
            pass
        self.closed.set()


class Upstream:
    """The model server. keep_bodies=False: bodies are only counted and digested (big uploads)."""

    def __init__(self, port=0, unix=None, tls=None, keep_bodies=True):
        self.records = []
        self.probes = []
        self.rules = []
        self.lock = threading.Condition()
        self.stopping = False
        self.keep_bodies = keep_bodies
        self.connections = 0
        self.open_connections = set()
        self.serials = {}
        self.tls = tls
        self.accepting = threading.Event()
        self.accepting.set()
        self.errors = []
        self.unix = unix
        if unix:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(unix)
            self.port, self.url = None, f"unix:{unix}"
        else:
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", port))
            self.port = self.listener.getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.listener.listen(512)
        self.threads = []
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self.threads.append(thread)

    # -- script ----------------------------------------------------------------------------------
    def when(self, match, rule, times=None):
        """From now on requests that match (a kind's name, "*", or a function of the exchange) are
        answered by rule; later rules win; `times` limits it. "*" leaves lull's probes alone."""
        with self.lock:
            self.rules.insert(0, [match, rule, times])
        return self

    def clear(self):
        with self.lock:
            self.rules.clear()

    def _rule(self, exchange):
        with self.lock:
            for entry in self.rules:
                match, rule, times = entry
                fits = (match == "*" and not exchange.is_probe or match == exchange.kind
                        or (callable(match) and match(exchange)))
                if fits and times != 0:
                    if times is not None:
                        entry[2] -= 1
                    return rule
        return default_rule

    # -- what came -------------------------------------------------------------------------------
    def matching(self, match="*"):
        with self.lock:
            return [e for e in self.records
                    if match == "*" or match == e.kind or (callable(match) and match(e))]

    def count(self, match="*"):
        return len(self.matching(match))

    def wait_for(self, n=1, match="*", timeout=DEADLINE):
        """Waits until n requests that match have arrived (heads; see Exchange.body_done)."""
        end = time.monotonic() + timeout
        with self.lock:
            while True:
                got = [e for e in self.records
                       if match == "*" or match == e.kind or (callable(match) and match(e))]
                if len(got) >= n:
                    return got
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{len(got)} of {n} requests reached the model server ({match}); "
                        f"seen: {[(e.method, e.target, e.kind) for e in self.records][-10:]}")
                self.lock.wait(min(left, 0.25))

    # -- threads ---------------------------------------------------------------------------------
    def _accept(self):
        while not self.stopping:
            self.accepting.wait()
            try:
                if not ready(self.listener, 0.25) or not self.accepting.is_set():
                    continue
                sock, _ = self.listener.accept()
            except (OSError, ValueError):
                return
            with self.lock:
                self.connections += 1
                number = self.connections
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _serve(self, sock, number):
        connection = None
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, number)
            with self.lock:
                self.open_connections.add(connection)
            nth = 0
            while self._one(connection, nth):
                nth += 1
        except (Gone, OSError):
            pass
        except Exception as error:  # a mistake in a rule must fail the test
            self.errors.append(repr(error))
        finally:
            if connection is not None:
                connection.close()
                with self.lock:
                    self.open_connections.discard(connection)
            else:
                sock.close()

    def _one(self, connection, nth):
        while b"\r\n\r\n" not in connection.buffer:
            if not connection.fill():
                return False
        head, _, connection.buffer = connection.buffer.partition(b"\r\n\r\n")
        exchange = Exchange(self, connection, nth, head)
        with self.lock:
            if exchange.is_probe:
                self.probes.append(exchange)  # lull's own question
            else:
                self.records.append(exchange)
            self.lock.notify_all()
        try:
            self._read_body(exchange)
            exchange.body_done.set()
            with self.lock:
                exchange.kind = kind_of(exchange.target, exchange.json)
                exchange.serial = self.serials.get(exchange.kind, 0) + 1
                self.serials[exchange.kind] = exchange.serial
                self.lock.notify_all()
            self._rule(exchange)(exchange)
        except Gone:
            exchange.keep = False
        finally:
            exchange.finished.set()
        return exchange.keep

    def _read_body(self, exchange):
        connection = exchange.connection
        digest, parts, raws = hashlib.sha256(), [], []

        def until(there):
            while not there():
                if not connection.fill():
                    exchange.gone.set()
                    raise Gone()

        def take(n):
            until(lambda: len(connection.buffer) >= n)
            data, connection.buffer = connection.buffer[:n], connection.buffer[n:]
            return data

        def take_line():
            until(lambda: b"\r\n" in connection.buffer)
            return take(connection.buffer.index(b"\r\n") + 2)[:-2]

        def keep(data):
            digest.update(data)
            exchange.body_bytes += len(data)
            if self.keep_bodies:
                parts.append(data)

        if (exchange.header("Expect") or "").lower() == "100-continue":
            exchange.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (exchange.header("Transfer-Encoding") or "").lower():
            while True:
                line = take_line()
                size = int(line.split(b";")[0], 16)
                data = take(size + 2) if size else b"\r\n"
                if self.keep_bodies:
                    raws.append(line + b"\r\n" + data)
                if size == 0:
                    while take_line():  # a trailer
                        pass
                    break
                keep(data[:-2])
                exchange.body = b"".join(parts) if self.keep_bodies else b""
                with self.lock:
                    self.lock.notify_all()
        else:
            left = int(exchange.header("Content-Length") or 0)
            while left:
                until(lambda: connection.buffer)
                data = take(min(left, len(connection.buffer)))
                left -= len(data)
                keep(data)
                if not self.keep_bodies or left == 0:
                    continue
                exchange.body = b"".join(parts)
        exchange.body = b"".join(parts)
        exchange.raw_body = b"".join(raws) or exchange.body
        exchange.body_digest = digest.hexdigest()
        try:
            exchange.json = json.loads(exchange.body) if exchange.body else None
        except ValueError:
            exchange.json = None

    def drop_connections(self):
        """Closes idle and busy connections, as a restart would."""
        with self.lock:
            victims = list(self.open_connections)
        for connection in victims:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.stopping = True
        self.accepting.set()
        try:
            self.listener.close()
        except OSError:
            pass
        self.drop_connections()
        for thread in self.threads:
            thread.join(2)


def default_rule(exchange):
    """What a plain model server does."""
    path = exchange.path.replace("//", "/")
    if exchange.kind == "models":
        if path.endswith("/api/tags"):
            names = MODELS["ollama"]
            body = {"models": [{"name": m, "model": m, "size": 1,
                                "modified_at": "2026-01-02T03:04:05Z",
                                "digest": "0" * 64, "details": {"family": "llama"}} for m in names]}
        else:
            body = {"object": "list", "data": [{"id": m, "object": "model", "created": 1760000000,
                                                "owned_by": "local"} for m in MODELS["openai"]]}
        exchange.full(200, "application/json", json.dumps(body))
    elif path.endswith("/api/version"):
        exchange.full(200, "application/json", '{"version":"0.12.6"}')
    elif path.endswith("/api/ps"):
        exchange.full(200, "application/json", '{"models":[]}')
    elif exchange.kind == "embed":
        given = (exchange.json or {}).get("input", "")
        count = len(given) if isinstance(given, list) else 1
        vector = [0.25] * 32
        if exchange.dialect == "openai":
            data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]
            body = {"object": "list", "model": "embed-32", "data": data,
                    "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        else:
            body = {"model": "embed-32", "embeddings": [vector] * count}
        exchange.full(200, "application/json", json.dumps(body))
    elif exchange.kind == "other":
        exchange.full(404, "application/json", '{"error":{"message":"not found"}}')
    else:
        good()(exchange)


def last_user_text(document):
    """The text of the last message of a request, for rules."""
    messages = (document or {}).get("messages") or []
    return message_text(messages[-1]) if messages else (document or {}).get("prompt", "")


def completed_text(document):
    """The text that an autocomplete asks to continue."""
    found = re.findall(r"<text>(.*?)</text>", last_user_text(document), re.S)
    return found[-1] if found else ""
