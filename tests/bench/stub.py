"""What the benchmarks share: a model server that costs as little as Python can, requests for titles
of a given size, and a client over one kept-open connection."""
import json
import socket
import socketserver
import threading
import time

TITLE = '{"title": "A title"}'
HEAD = ("### Task:\nGenerate a concise title summarizing the chat history.\n### Output:\n"
        'JSON format: { "title": "your concise title here" }\n### Chat History:\n<chat_history>\nUSER: ')
TAIL = "\nASSISTANT: \n</chat_history>"


def title(size, number=0):
    """The body of a request for a title, `size` bytes; another one for every number."""
    def body(words):
        return json.dumps({"model": "m", "messages": [{"role": "user", "content": HEAD + words + TAIL}], "stream": False,
                           "max_tokens": 1000}, separators=(",", ":"))
    words = f"{number:08d} "
    room = size - len(body(words))
    words += ("word " * (room // 5 + 1))[:room]
    return body(words).encode()


def chat(size, number=0, **more):
    """The body of a streamed chat; another one for every number."""
    text = f"{number:08d} " + ("word " * (size // 5))
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text[:size - 80]}], "stream": True, **more},
                      separators=(",", ":")).encode()


def chunk(delta, finish=None):
    return ("data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m",
                                   "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + "\n\n").encode()


def answer(content_type, body, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def whole(content):
    """A whole answer that says `content`."""
    return answer("application/json", json.dumps({
        "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}}).encode())


def streamed(content):
    return answer("text/event-stream", chunk({"role": "assistant", "content": ""}) + chunk({"content": content}) + chunk({}, "stop")
                  + b"data: [DONE]\n\n")


CHUNKS = "chunks"  # in a chat's body: how many chunks are its answer; each is sent when the client wants it
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK_PAUSE = 0.005  # lulld waits again before the next chunk comes
MISSING = answer("application/json", b"{}", "404 Not Found")


def read_message(reader):
    """A head and its body of Content-Length; None at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return None
        head += line
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    length = int(lower[at + 17:lower.index(b"\r\n", at + 2)]) if at >= 0 else 0
    return head, reader.read(length)


def framed(piece):
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


class Handler(socketserver.StreamRequestHandler):
    def stream(self, count):
        """A chat of `count` chunks, and its end with the last of them."""
        self.wfile.write(CHUNKED)
        for i in range(count):
            self.server.wanted.acquire()
            time.sleep(CHUNK_PAUSE)
            end = framed(chunk({}, "stop") + b"data: [DONE]\n\n") + framed(b"") if i == count - 1 else b""
            self.wfile.write(framed(chunk({"content": f"word {i} "})) + end)

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (message := read_message(self.rfile)) is not None:
            head, body = message
            if not head.startswith(b"POST "):
                self.wfile.write(MISSING)
            elif f'"{CHUNKS}":'.encode() in body:
                self.stream(json.loads(body)[CHUNKS])
            else:
                time.sleep(self.server.delay)
                content = self.server.completion if b"autocompletion" in body else TITLE
                self.wfile.write((streamed if b'"stream":true' in body.replace(b" ", b"") else whole)(content))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    delay, completion = 0, ""

    def handle_error(self, request, client_address):
        pass  # a client that left


class Model:
    """The model server, in a thread: with Model() as model: ... model.url ... It answers a POST after
    `delay` seconds, an autocomplete with `suggestion`."""

    def __init__(self, delay=0, suggestion=""):
        self.delay = delay
        self.completion = json.dumps({"text": suggestion})

    def __enter__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.delay, self.server.completion = self.delay, self.completion
        self.server.wanted = self.wanted = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


class Asker:
    """Asks for titles over one connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.reader = self.socket.makefile("rb")
        self.head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer k\r\n"
                     "Content-Type: application/json\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
                     "User-Agent: Python/3.11 aiohttp/3.14.5\r\nContent-Length: ")

    def ask(self, body):
        """The whole answer, head and body."""
        self.socket.sendall(f"{self.head}{len(body)}\r\n\r\n".encode() + body)
        message = read_message(self.reader)
        if message is None:
            raise OSError("the connection was closed")
        return b"".join(message)

    def read_chunk(self):
        return self.reader.read(int(self.reader.readline(), 16) + 2)[:-2]

    def chat(self, body, count, wanted):
        """A chat of `count` chunks, each of which the model server sends when `wanted` is released."""
        self.socket.sendall(f"{self.head}{len(body)}\r\n\r\n".encode() + body)
        read_message(self.reader)
        for _ in range(count):
            wanted.release()
            self.read_chunk()
        while self.read_chunk():
            pass

    def close(self):
        self.reader.close()
        self.socket.close()
