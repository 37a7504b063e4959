#!/usr/bin/env python3
"""The model server of the soak test, a process of its own: one event loop, three ports (an OpenAI server,
an Ollama server, and the direct port, which is the OpenAI server without faults). It prints the ports as one
line of JSON. GET /soak-counts on the direct port: what it was asked.

The first call for a number whose number says so meets a fault (mix.fault_of); the next one is answered.
"""
import asyncio
import collections
import json
import socket
import struct
import sys

import mix
from upstream import kind_of

PORTS = ("openai", "ollama", "direct")
HANG = 60  # longer than every patience of lull and of the load


class Model:
    def __init__(self, delay):
        self.delay = delay
        self.calls = {port: collections.Counter() for port in PORTS}
        self.faults = collections.Counter()
        self.failed = set()
        self.mixed_up = []
        self.probes = 0

    async def connection(self, port, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not await self.answer(port, reader, writer, head.decode("latin-1")):
                    break
        except (asyncio.IncompleteReadError, OSError, asyncio.LimitOverrunError):
            pass  # the other side left
        finally:
            writer.close()

    async def answer(self, port, reader, writer, head):
        """Answers one request; False: the connection is at its end."""
        line, *fields = head.split("\r\n")
        method, target, _ = line.split(" ")
        fields = {n.lower(): v.strip() for n, _, v in (f.partition(":") for f in fields if f)}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        if target == "/soak-counts":
            return await self.plain(writer, self.counts())
        if fields.get("user-agent", "").startswith("lulld/"):
            self.probes += 1
            return await self.plain(writer, {"version": "0.12.6"}, "200 OK" if port == "ollama" else "404 Not Found")
        document = json.loads(body) if body else {}
        kind = mix.KINDS.get(kind_of(target, document), kind_of(target, document))
        number = mix.number_in(body.decode()) if body else None
        self.calls[port][kind] += 1
        if number == -1:
            self.mixed_up.append(mix.MARK.findall(body.decode()))
        if number is None or number < 0:
            return await self.listing(writer, target)
        form = mix.form_of(target)
        if form is None:
            await asyncio.sleep(self.delay / 2)
            return await self.plain(writer, {"soak": number, "data": [{"embedding": [0.25] * 32}]})
        text = mix.content(kind, number, mix.typed_in(body.decode()) if kind == "autocomplete" else "")
        stream = bool(document.get("stream", form in ("ollama", "generate")))
        fault = mix.fault_of(number, kind) if port != "direct" and (kind, number) not in self.failed else None
        if fault is not None:
            self.failed.add((kind, number))
            self.faults[fault] += 1
        return await self.generate(reader, writer, fault, form, document.get("model", "m"), text, stream, number)

    def counts(self):
        return {"calls": self.calls, "faults": self.faults, "probes": self.probes, "mixed_up": self.mixed_up}

    async def plain(self, writer, document, status="200 OK", more=""):
        body = json.dumps(document).encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True

    async def listing(self, writer, target):
        """The answers to a GET: the same ones always."""
        return await self.plain(writer, listing(target))

    async def generate(self, reader, writer, fault, form, model, text, stream, number):
        await asyncio.sleep(self.delay * (0.5 + number % 16 / 16))
        if fault in ("500", "503"):
            more = "Retry-After: 1\r\n" if fault == "503" else ""
            return await self.plain(writer, {"error": {"message": "out of memory"}}, f"{fault} Failed", more)
        if fault in ("reset", "close", "hang", "garbage", "page"):
            return await self.misbehave(reader, writer, fault)
        if not stream:
            parts = [json.dumps(mix.whole(form, model, text), ensure_ascii=False)]
        else:
            parts = mix.pieces(form, model, text)
        kind = "application/json" if not stream else "application/x-ndjson" if form in ("ollama", "generate") else "text/event-stream"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for at, part in enumerate(parts):
            if fault is not None and at >= len(parts) // 2:
                return await self.misbehave(reader, writer, fault, part)
            data = part.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
            if at + 1 < len(parts):
                await asyncio.sleep(self.delay / 4)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def misbehave(self, reader, writer, fault, part=""):
        if fault in ("hang", "hang inside"):
            try:
                await asyncio.wait_for(reader.read(1), HANG)
            except asyncio.TimeoutError:
                pass
        elif fault == "garbage":
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00 no HTTP\r\n\r\n\x00\xff")
        elif fault == "page":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<h1>Oops</h1>")
        elif fault.startswith("cut"):
            data = part.encode()
            writer.write(b"%x\r\n%s" % (len(data), data[:len(data) // 2]))
        await writer.drain()
        if fault in ("reset", "cut by a reset"):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


def listing(target):
    path = target.split("?")[0].rstrip("/")
    if path.endswith("/api/tags"):
        return {"models": [{"name": "llama3.2:3b", "model": "llama3.2:3b", "size": 1}]}
    if path.endswith("/models"):
        return {"object": "list", "data": [{"id": "qwen3-8b", "object": "model"}]}
    if path.endswith("/api/version"):
        return {"version": "0.12.6"}
    return {"models": []}


async def main():
    model = Model(float(sys.argv[1]) if len(sys.argv) > 1 else 0.03)
    ports, servers = {}, []
    for port in PORTS:
        server = await asyncio.start_server(lambda r, w, p=port: model.connection(p, r, w), "127.0.0.1", 0, backlog=1024,
                                            limit=1 << 20)
        ports[port] = server.sockets[0].getsockname()[1]
        servers.append(server)
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
