"""A client on a raw socket: what is sent and what comes back is there byte by byte."""
import json
import select
import socket
import struct
import time

DEADLINE = 30.0


def ready(sock, timeout, read=True, write=False):
    """Whether it can be read, or written, or is at its end; of any number, where select() ends at 1,024."""
    poll = select.poll()
    poll.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
    return bool(poll.poll(max(0, timeout) * 1000))


class Cut(Exception):
    """The connection ended in the middle of an answer."""


class Response:
    def __init__(self):
        self.raw_head = b""
        self.version, self.status, self.reason = "", 0, ""
        self.headers = []
        self.body = bytearray()  # grows in place: bodies of 100 MB come in small pieces
        self.raw_body = bytearray()
        self.informational = []  # 1xx statuses that came first
        self.first_byte = self.last_byte = None
        self.whole = False
        self.pieces = []         # chunks of a chunked body, as framed

    def header(self, name, default=None):
        for n, v in self.headers:
            if n.lower() == name.lower():
                return v
        return default

    def header_count(self, name):
        return sum(1 for n, _ in self.headers if n.lower() == name.lower())

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def content(self):
        """The text of a model's answer, in any dialect."""
        document = self.json
        if "choices" in document:
            return document["choices"][0]["message"]["content"]
        return document["response"] if "response" in document else document["message"]["content"]

    @property
    def cache_status(self):
        return self.header("Cache-Status", "")

    @property
    def task(self):
        return self.header("X-Lull-Task")

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Client:
    """One connection. address: a port of 127.0.0.1, (host, port), or the path of a Unix socket."""

    def __init__(self, address, timeout=DEADLINE, receive_buffer=None):
        self.timeout = timeout
        self.buffer = b""
        self.eof = False
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.authority = "localhost"
        else:
            host, port = address if isinstance(address, tuple) else ("127.0.0.1", address)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            address = (host, port)
            self.authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # -- sending ---------------------------------------------------------------------------------
    def send(self, data):
        self.sock.sendall(data)

    def start(self, method, target, headers=(), body=None, host=None, version="HTTP/1.1"):
        """Sends a request; Host and Content-Length are added unless given."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        if isinstance(body, str):
            body = body.encode()
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        names = {n.lower() for n, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", host or self.authority))
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", str(len(body))))
        head = "\r\n".join([f"{method} {target} {version}"] + [f"{n}: {v}" for n, v in headers])
        self.send(head.encode("latin-1") + b"\r\n\r\n" + (body or b""))
        self.method = method

    def request(self, method, target, headers=(), body=None, **more):
        self.start(method, target, headers, body, **more)
        return self.response()

    def get(self, target, headers=()):
        return self.request("GET", target, headers)

    def post(self, target, body, headers=()):
        names = {n.lower() for n, _ in (headers.items() if isinstance(headers, dict) else headers)}
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if "content-type" not in names:
            headers.insert(0, ("Content-Type", "application/json"))
        return self.request("POST", target, headers, body)

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def last_chunk(self):
        self.send(b"0\r\n\r\n")

    # -- receiving -------------------------------------------------------------------------------
    def fill(self, deadline=None):
        """Reads something; False at the end of the connection."""
        left = self.timeout if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing came; so far {self.buffer[:200]!r}")
        if not ready(self.sock, left):
            raise TimeoutError(f"nothing came; so far {self.buffer[:200]!r}")
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            self.eof = True
            return False
        self.buffer += data
        return True

    def readable(self, timeout=0):
        """Whether something (or the end) has arrived and was not read yet."""
        return bool(self.buffer) or ready(self.sock, timeout)

    def read_until(self, mark, deadline=None):
        while mark not in self.buffer:
            if not self.fill(deadline):
                raise Cut(f"the connection ended; so far {self.buffer[:500]!r}")
        data, _, self.buffer = self.buffer.partition(mark)
        return data

    def read_exact(self, n, deadline=None):
        parts, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < n:
            if not self.fill(deadline):
                self.buffer = b"".join(parts)
                raise Cut(f"the connection ended {n - have} bytes early")
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(parts)
        self.buffer = data[n:]
        return data[:n]

    def response_head(self, deadline=None):
        """Reads one head; 1xx ones are collected."""
        response = Response()
        while True:
            if not self.buffer and not self.fill(deadline):
                raise Cut("the connection ended without an answer")
            if response.first_byte is None:
                response.first_byte = time.monotonic()
            raw = self.read_until(b"\r\n\r\n", deadline)
            lines = raw.split(b"\r\n")
            parts = lines[0].decode("latin-1").split(" ", 2)
            code = int(parts[1])
            if 100 <= code < 200:
                response.informational.append(code)
                continue
            response.raw_head = raw
            response.version, response.status = parts[0], code
            response.reason = parts[2] if len(parts) > 2 else ""
            for line in lines[1:]:
                name, _, value = line.partition(b":")
                response.headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
            return response

    def read_chunk(self, response, deadline=None):
        """One chunk of a chunked body; b"" at its end."""
        line = self.read_until(b"\r\n", deadline)
        size = int(line, 16)
        if size == 0:
            tail = self.read_exact(2, deadline)
            if tail != b"\r\n":
                raise AssertionError(f"trailers or junk after the last chunk: {tail!r}")
            response.raw_body += line + b"\r\n\r\n"
            response.whole = True
            return b""
        data = self.read_exact(size + 2, deadline)
        if data[-2:] != b"\r\n":
            raise AssertionError("no CRLF after the chunk")
        response.body += data[:-2]
        response.raw_body += line + b"\r\n" + data
        response.pieces.append(data[:-2])
        return data[:-2]

    def read_body(self, response, deadline=None):
        head_only = getattr(self, "method", "") == "HEAD" or response.status in (204, 304)
        if head_only:
            response.whole = True
        elif "chunked" in response.header("Transfer-Encoding", "").lower():
            while self.read_chunk(response, deadline):
                pass
        elif response.header("Content-Length") is not None:
            response.body = self.read_exact(int(response.header("Content-Length")), deadline)
            response.raw_body = response.body
            response.whole = True
        else:
            while self.fill(deadline):
                pass
            response.body, self.buffer = self.buffer, b""
            response.raw_body = response.body
            response.whole = True
        response.last_byte = time.monotonic()
        return response

    def response(self, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        return self.read_body(self.response_head(deadline), deadline)

    def at_end(self, timeout=DEADLINE):
        """Whether the other side closes the connection without another byte."""
        if self.buffer:
            return False
        try:
            return not self.fill(time.monotonic() + timeout)
        except TimeoutError:
            return False

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
