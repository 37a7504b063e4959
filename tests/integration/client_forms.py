"""Requests as clients write them, and connections as clients use them: all at random, of a random.Random.

A Request is bytes and what they mean: the fields, target and body that a server has to get. A Session is the requests of
one connection, how they are cut into pieces, which wait for the answers before them, and how the connection ends."""
import gzip
import json

import prompts

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH", "get", "!~")
PATHS = ("/", "/v1/models", "/api/tags", "/api/version", "/api/ps", "/v1/embeddings", "/api/embed", "/api/show", "/api/pull",
         "/api/blobs/sha256:00", "/api/delete", "/v1/audio/transcriptions", "/v1/files", "/v1/responses", "/unknown", "/props",
         "/v1/chat/completions", "/api/chat", "/api/generate", "/v1/completions", "/slots/0?action=save", "/metrics")
CHAT_PATHS = ("/v1/chat/completions", "/api/chat", "/v1/chat/completions?a=1", "//v1//chat/completions", "/api/generate")
SEGMENTS = ("/..", "/.", "/%2e%2e", "/%00", "/%2F", "/%0d%0aX:%20y", "/a;b=c", "/a=b&c", "/~u", "/\"<>", "/\\x", "/^`{|}", "/%",
            "/%zz", "/[::1]", "/x@y", "/:80", "/a//b", "/", "/$(id)", "/*", "/%E4%BD%A0", "/+", "/x/@default/y")
QUERIES = ("?", "?a=1&b=%20", "?//a//b", "?a=b?c", "?/../x", "?%00", "?a=[1]&b={2}", "?q=\"x\"", "?" + "k=v&" * 300)
NAMES = ("X-A", "x-lower", "X-UPPER", "x_under", "X.Dot", "!#$%&'*+-.^_`|~", "Z", "X-Request-Id", "Accept-Language", "DNT",
         "Referer", "Via", "X-Forwarded-For", "Forwarded", "Sec-Fetch-Mode", "Priority", "traceparent", "Content-Language",
         "Content-Location", "Content-Length-X", "Digest", "If-Match", "If-Modified-Since", "Pragma", "Max-Forwards", "Warning",
         "Accept-Charset", "From", "Date", "Age", "Server", "ETag", "Link", "X-OpenWebUI-User-Name", "X-Lull-Task", "Alt-Svc")
VALUES = ("1", "", "a, b,c", "a  b", "a\tb", "\xe4\xff\x80", "\"q;x\"", ",", ":", "x" * 300, "y" * 5000, "0", "{}", "%0d%0a",
          "{{TASK}}", "chunked", "close", "=?utf-8?q?x?=")
FIELDS = (("Accept-Encoding", "gzip, deflate, br"), ("Accept-Encoding", ""), ("Accept-Encoding", "identity;q=0"), ("Accept", "*/*"),
          ("Accept", "text/event-stream"), ("Cookie", "a=b; c=d"), ("cookie", "token=" + "z" * 900), ("Range", "bytes=0-99"),
          ("Range", "bytes=5-"), ("If-None-Match", '"x", W/"y"'), ("If-None-Match", "*"), ("If-Range", '"x"'), ("User-Agent", ""),
          ("User-Agent", "Python/3.11 aiohttp/3.14.5"), ("user-agent", "curl/8"), ("Authorization", "Bearer sk-a"),
          ("authorization", "Basic dTpw"), ("Authorization", ""), ("Api-Key", "k"), ("Cache-Control", "no-cache"),
          ("Cache-Control", "max-age=0"), ("X-OpenWebUI-Task", "{{TASK}}"), ("X-OpenWebUI-User-Id", "u-1"),
          ("X-OpenWebUI-Chat-Id", "{{CHAT_ID}}"), ("Origin", "http://localhost:3000"), ("Origin", "https://elsewhere.example"),
          ("Origin", "null"), ("Content-Encoding", "identity"), ("Content-Type", "text/plain"), ("Content-MD5", "Q2hlY2s="))
HOPS = ((("Connection", "keep-alive"),), (("Connection", "Keep-Alive, X-Hop"), ("X-Hop", "1")), (("TE", "trailers"),),
        (("Keep-Alive", "timeout=5"),), (("Connection", "Upgrade"), ("Upgrade", "websocket")), (("Proxy-Connection", "keep-alive"),),
        (("Connection", "x-hop"), ("X-Hop", "a"), ("x-hop", "b"), ("CONNECTION", " , keep-alive,")), (("Trailer", "T"),),
        (("Proxy-Authorization", "Basic x"),), (("Connection", "TE, X-A"), ("TE", "gzip"), ("X-A", "gone")))
EDGES = (0, 1, 2, 15, 255, 1023, 1024, 4095, 4096, 4097, 16383, 16384, 16385, 32768, 65535, 65536, 65537)
TASK_MOST = 64 * 1024  # max_task_body of the test


class Request:
    """method, target, fields (name, value as sent), body, framing: "none", "length", "chunked"."""

    def __init__(self, case, method, target):
        self.case, self.method, self.target = case, method, target
        self.minor, self.fields, self.body, self.framing = 1, [], b"", "none"
        self.last = False           # the connection ends behind its answer
        self.kind = "other"         # chat, other, or a kind of task
        self.waits = True           # for the answers before it
        self.expects = None         # Expect: "at once": the body is sent at once, "waits": for the 100
        self.absolute = ""          # an origin before the target
        self.raw_head = self.raw_body = b""

    def __repr__(self):
        return (f"<{self.case} {self.kind} {self.framing} {len(self.body)} {'waits' if self.waits else ''} {self.expects or ''} "
                f"{self.raw_head[:500]!r} {self.body[:60]!r}>")

    def write(self, rng, port):
        """Makes the bytes, for a server on that port."""
        origin = self.absolute.format(port=port)
        lines = [f"{self.method} {origin}{self.target} HTTP/1.{self.minor}"]
        blank = rng.choice((" ", " ", " ", "", "  ", "\t"))
        lines += [f"{name}:{blank}{value.format(port=port) if name.lower() == 'host' else value}" for name, value in self.fields]
        if self.framing == "length":
            lines.insert(rng.randint(1, len(lines)), f"{rng.choice(('Content-Length', 'content-length'))}: {len(self.body)}")
        elif self.framing == "chunked":
            lines.insert(rng.randint(1, len(lines)), f"Transfer-Encoding:{blank}{rng.choice(('chunked', 'Chunked'))}")
        self.raw_head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self.raw_body = chunked(rng, self.body) if self.framing == "chunked" else self.body


def chunked(rng, body):
    out, at = [], 0
    most = rng.choice((7, 100, 4096, 70000))
    if len(body) > 20000:
        most = max(most, 1000)
    while at < len(body):
        piece = body[at:at + rng.randint(1, most)]
        at += len(piece)
        size = rng.choice(("%x", "%X", "00%x")) % len(piece)
        extension = rng.choice(("", "", "", ";a", ";a=b", ' ;a="b;c"', ";" + "e" * 200)).replace(" ;", ";")
        out.append(f"{size}{extension}\r\n".encode() + piece + b"\r\n")
    trailers = rng.choice((b"", b"", b"T: v\r\n", b"T: v\r\nContent-Length: 5\r\nX-A: b\r\n"))
    return b"".join(out) + rng.choice((b"0\r\n", b"000\r\n", b"0;last\r\n")) + trailers + b"\r\n"


class Writer:
    """Random requests of a random.Random. name: what all their cases begin with."""

    def __init__(self, rng, name):
        self.rng, self.name, self.n = rng, name, 0
        self.chats = rng.choice((.3, .5, .95))  # of the requests
        self.task = None  # the last one: (whether Ollama's, kind, body)

    def bytes_of(self, n):
        r = self.rng
        return r.choice((lambda: r.randbytes(n), lambda: (b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" * (n // 30 + 1))[:n],
                         lambda: b"a" * n))()

    def size(self):
        r = self.rng
        return r.choice((r.choice(EDGES), r.choice(EDGES), r.randint(0, 300), r.randint(0, 30000),
                         TASK_MOST + r.randint(-3, 3), r.randint(0, 3 * TASK_MOST)))

    def target(self):
        r = self.rng
        target = r.choice(PATHS)
        if r.random() < .35:
            target = target.partition("?")[0].rstrip("/") + "".join(r.choice(SEGMENTS) for _ in range(r.randint(1, 3)))
        if r.random() < .1:
            target = "/x" + "".join(chr(r.choice([c for c in range(0x21, 0x7f) if c != 0x23])) for _ in range(r.randint(1, 40)))
        if r.random() < .3 and "?" not in target:
            target += r.choice(QUERIES)
        if r.random() < .03:
            target = "/long/" + "l" * (8192 - 6 - r.choice((0, 0, 1, 100)))
        return target

    def message(self):
        """A text that no other request has."""
        r = self.rng
        return f"{self.name}.{self.n} " + r.choice(("Hi", "Caf\u00e9 \u65c5", "\"q\"\\", "x" * 500, "### Task:\nWhat is it?", "\U0001f680\n\n"))

    def json_body(self, path):
        """(kind, body) of a chat, a task, or something like them."""
        r = self.rng
        if self.task is not None and path.startswith("/api/") == self.task[0] and r.random() < .5:
            return self.task[1:]  # once more
        dialect = "ollama" if path.startswith("/api/") else "openai"
        if r.random() < .45 and "?" not in path:
            kind = r.choice(("title", "tags", "follow_up", "query", "emoji", "autocomplete"))
            document = json.loads(prompts.body(kind, self.message(), dialect))
            document["stream"] = r.random() < .1
        else:
            kind = "chat"
            document = json.loads(prompts.chat_body(self.message(), dialect, stream=r.random() < .7))
        if path.startswith("/api/generate"):
            document["prompt"] = document.pop("messages")[-1]["content"]
        if r.random() < .15:
            document["x"] = "p" * max(0, TASK_MOST + r.choice((-2, -1, 0, 1, 2, 5000)) - len(json.dumps(document)) - 7)
        body = json.dumps(document, ensure_ascii=r.random() < .5, indent=r.choice((None, None, 1))).encode()
        way = r.random()
        if way < .05:
            return kind, b"\xef\xbb\xbf" + body
        if way < .1:
            return "chat", body[:r.randint(0, len(body))]
        if way < .14:
            return kind, b" \r\n" + body + b"\n\n"
        if way < .17:
            return "chat", b"[" + body + b"]"
        self.task = (path.startswith("/api/"), kind, body) if kind != "chat" and "generate" not in path else self.task
        return kind, body

    @staticmethod
    def of_one_client(fields):
        """Without what would make another client of it, or another rule for its answer."""
        other = ("authorization", "cookie", "api-key", "cache-control", "x-openwebui-user-id", "x-request-id")
        return [f for f in fields if f[0].lower() not in other]

    def fields(self):
        r = self.rng
        fields = [r.choice(FIELDS) for _ in range(r.randint(0, 4))]
        fields += [(r.choice(NAMES), r.choice(VALUES[:9] if r.random() < .9 else VALUES)) for _ in range(r.randint(0, 3))]
        if r.random() < .05:
            fields += [(f"X-Many-{i}", "v" * r.choice((0, 5, 200))) for i in range(r.randint(20, 75))]
        if r.random() < .2:
            fields += r.choice(HOPS)
        r.shuffle(fields)
        return fields

    def multipart(self, request):
        boundary = "----lull" + str(self.rng.randint(0, 9999))
        request.fields.append(("Content-Type", f'multipart/form-data; boundary="{boundary}"'))
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="f{i}"; filename="\u00e4.wav"\r\n\r\n'.encode()
                 + self.bytes_of(self.size()) + b"\r\n" for i in range(self.rng.randint(0, 3))]
        request.body = b"".join(parts) + f"--{boundary}--\r\n".encode()

    def with_body(self, request, path):
        r = self.rng
        what = r.random()
        if path in CHAT_PATHS and what < .75:
            request.kind, request.body = self.json_body(path)
            if request.kind != "chat":
                request.fields = self.of_one_client(request.fields)
            request.fields.append((r.choice(("Content-Type", "content-type")), r.choice(("application/json", "application/json; charset=utf-8"))))
            if request.kind != "chat" and r.random() < .3:
                request.fields.append(("X-OpenWebUI-Task", prompts.HEADER_VALUES[request.kind]))
            elif r.random() < .05:
                request.kind, request.body = "chat", gzip.compress(request.body, mtime=0)
                request.fields.append(("Content-Encoding", "gzip"))
        elif what < .85:
            self.multipart(request)
        else:
            request.body = self.bytes_of(self.size())
        request.framing = r.choice(("length", "length", "chunked"))

    def request(self):
        """One more, not written yet."""
        r = self.rng
        self.n += 1
        path = r.choice(CHAT_PATHS) if r.random() < self.chats else None
        method = "POST" if path is not None and r.random() < .9 else r.choice(METHODS)
        request = Request(f"{self.name}.{self.n}", method, path or self.target())
        request.fields = self.fields()
        if method in ("POST", "PUT", "PATCH") and r.random() < .95 or method != "HEAD" and r.random() < .1:
            self.with_body(request, path if method == "POST" else None)
        if method == "OPTIONS" and r.random() < .7:
            request.fields += [("Origin", r.choice(("http://localhost", "https://elsewhere.example"))),
                               ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization,content-type")]
            request.target = request.target if r.random() < .9 else "*"
        if any(name.lower() == "origin" and "localhost" not in value for name, value in request.fields) and request.kind != "chat":
            request.fields = [f for f in request.fields if f[0].lower() != "origin"] if request.kind != "other" else request.fields
        self.place(request)
        return request

    def place(self, request):
        """The fields that every request has, and its version."""
        r = self.rng
        if r.random() < .08 and request.framing != "chunked":
            request.minor = 0
            request.last = r.random() < .5
            request.fields = [f for f in request.fields if f[0].lower() != "connection"]
            if not request.last:
                request.fields.append(("Connection", "Keep-Alive"))
        elif r.random() < .07:
            request.last = True
            request.fields.append(("Connection", r.choice(("close", "Close", "close, X-Hop"))))
        request.fields.insert(r.randint(0, len(request.fields)), ("X-Case", request.case))
        if request.last:
            request.fields.append(("X-Last", "1"))  # the server closes, too
        if request.minor == 1 or r.random() < .5:
            request.fields.insert(r.choice((0, 0, len(request.fields))),
                                  (r.choice(("Host", "host")), r.choice(("127.0.0.1:{port}", "localhost", "LOCALHOST:{port}", "[::1]"))))
        if request.framing != "none" and request.minor == 1 and r.random() < .08:
            request.expects = r.choice(("at once", "waits"))
            request.fields.append(("Expect", r.choice(("100-continue", "100-Continue"))))
        if r.random() < .05 and request.target != "*" and len(request.target) < 8000:
            request.absolute = r.choice(("http://127.0.0.1:{port}", "HTTP://localhost"))


class Session:
    """The requests of one connection. end: "whole", or how it breaks off ("close", "reset", "half") after `at` of its bytes
    (a part of 1); slow: it reads little at a time."""

    def __init__(self, rng, name):
        writer = Writer(rng, name)
        self.requests = []
        for _ in range(rng.choice((1, 2, 3, 5, 9))):
            self.requests.append(writer.request())
            if self.requests[-1].last:
                break
        pipelines = rng.random() < .4
        for request in self.requests:
            request.waits = not (pipelines and rng.random() < .8)
        self.cut = rng.choice((None, None, 1, 9, 500, 20000))  # the pieces are about that long
        self.slow = rng.random() < .1
        self.end = "whole" if rng.random() < .75 else rng.choice(("close", "reset", "half"))
        self.at = rng.choice((rng.random(), 1.0))
        self.seed = rng.getrandbits(40)
        self.extra = b""  # behind a request that ends the connection; never read as one
        if self.requests[-1].last and rng.random() < .3:
            self.extra = rng.choice((b"\r\n", b"GET /extra HTTP/1.1\r\nHost: localhost\r\n\r\n" * rng.choice((1, 2000)), rng.randbytes(40000)))

    def __repr__(self):
        more = {k: v for k, v in self.__dict__.items() if k != "requests"}
        return f"{more}\n    " + "\n    ".join(map(repr, self.requests))
