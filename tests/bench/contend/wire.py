"""The client's side of HTTP, as little of it as is needed: kept-open connections, one request at a time on
each, JSON and event streams."""
import asyncio
import json

USER_AGENT = "Python/3.11 aiohttp/3.14.5"


class Port:
    """A server, with the connections to it that are free."""

    def __init__(self, number, prefix="/v1"):
        self.number, self.prefix, self.free = number, prefix, []

    async def take(self):
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
        return await asyncio.open_connection("127.0.0.1", self.number)

    def close(self):
        for _, writer in self.free:
            writer.close()


async def head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split(" ")[1]), headers


async def body(reader, headers):
    """Its pieces as they come."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            data = await reader.readexactly(size + 2)
            if size == 0:
                return
            yield data[:-2]
    else:
        yield await reader.readexactly(int(headers.get("content-length", "0")))


async def post(port, headers, document, clock):
    """(status, text, when its first token came, when it was over) of a generation, streamed or not."""
    reader, writer = await port.take()
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    lines = [f"POST {port.prefix}/chat/completions HTTP/1.1", f"Host: 127.0.0.1:{port.number}",
             "Content-Type: application/json", "Authorization: Bearer sk-bench",
             *(f"{n}: {v}" for n, v in headers), "Accept: */*", "Accept-Encoding: gzip, deflate, br",
             f"User-Agent: {USER_AGENT}", f"Content-Length: {len(data)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    status, got = await head(reader)
    text, first, buffer = "", None, b""
    async for piece in body(reader, got):
        buffer += piece
        while document["stream"] and b"\n\n" in buffer:
            event, _, buffer = buffer.partition(b"\n\n")
            content = token(event)
            if content and first is None:
                first = clock.now()
            text += content
    end = clock.now()
    if got.get("connection", "").lower() != "close":
        port.free.append((reader, writer))
    else:
        writer.close()
    if not document["stream"]:
        answer = json.loads(buffer)
        text = answer["choices"][0]["message"]["content"] if status == 200 else buffer.decode()
    return status, text, first, end


def token(event):
    data = event[6:] if event.startswith(b"data: ") else b""
    if not data or data == b"[DONE]":
        return ""
    choices = json.loads(data).get("choices") or []
    return (choices[0].get("delta") or {}).get("content") or "" if choices else ""


async def get(port, target):
    reader, writer = await port.take()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    _, got = await head(reader)
    data = b"".join([piece async for piece in body(reader, got)])
    writer.close()
    return json.loads(data)
