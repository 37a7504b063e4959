#!/usr/bin/env python3
"""The scripted model: one or two servers of the OpenAI type on one machine, each with one slot that is
given in order of arrival. usage: model.py JSON with scale, physics, servers, props. Prints its ports; ends
when its standard input does. GET /bench/records says what was done.
"""
import asyncio
import json
import sys
import time

from physics import TASKS, Clock, Machine, Physics, cache_of, digest, mark, pieces, prompt_of, reply_to, run, tokens


class Job:
    def __init__(self, connection, server, headers, document):
        self.connection, self.clock, self.says_cached = connection, server.clock, server.props
        self.document, self.messages = document, document["messages"]
        self.stream, self.model = bool(document.get("stream")), document.get("model", "")
        task = headers.get("x-openwebui-task", "")
        self.kind = TASKS.get(task, "chat")
        self.limit = document.get("max_tokens") or 100000
        self.prompt = prompt_of(self.messages)
        self.head_sent = False
        self.record = {"server": server.name, "kind": "rewarm" if self.limit == 1 else self.kind,
                       "digest": digest(self.messages), "mark": mark(self.messages),
                       "chat": headers.get("x-openwebui-chat-id", ""),
                       "behind": self.kind != "chat" and len(self.messages) > 1,
                       "arrived": self.clock.now(), "started": None, "ended": None,
                       "prompt": tokens(self.prompt), "cached": 0, "read": 0, "made": 0, "seconds": 0.0,
                       "end": "waiting"}

    def gone(self):
        return self.connection.closed

    def head(self):
        if self.stream and not self.head_sent:
            self.head_sent = True
            self.connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  b"Transfer-Encoding: chunked\r\n\r\n")

    def event(self, document):
        data = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
        data = b"data: " + data + b"\n\n"
        self.connection.write(b"%x\r\n%s\r\n" % (len(data), data))

    def token(self, text, first):
        if self.stream:
            self.head()
            delta = {"role": "assistant", "content": text} if first else {"content": text}
            self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "model": self.model})

    def finish(self, text, reason):
        r = self.record
        usage = {"prompt_tokens": r["prompt"], "completion_tokens": r["made"],
                 "total_tokens": r["prompt"] + r["made"]}
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "model": self.model}
        if self.says_cached:  # as llama.cpp does
            usage["prompt_tokens_details"] = {"cached_tokens": r["cached"]}
            last["timings"] = {"cache_n": r["cached"], "prompt_n": r["read"], "predicted_n": r["made"]}
        if self.stream:
            self.event(last)
            if (self.document.get("stream_options") or {}).get("include_usage"):
                self.event({"choices": [], "model": self.model, "usage": usage})
            self.event(b"[DONE]")
            self.connection.write(b"0\r\n\r\n")
        else:
            self.connection.answer(200, {"object": "chat.completion", "model": self.model, "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
                "usage": usage})


class Server:
    def __init__(self, name, clock, machine, physics, props):
        self.name, self.clock, self.machine, self.physics, self.props = name, clock, machine, physics, props
        self.cache, self.queue, self.records = cache_of(physics), asyncio.Queue(), []
        self.resident = None

    def accept(self, job):
        self.records.append(job.record)
        if self.physics.notice == "batch":
            job.head()  # as llama.cpp does: at once, before there is a slot
        self.queue.put_nowait(job)

    async def work(self):
        while True:
            job = await self.queue.get()
            if job.gone():
                job.record["end"] = "dropped"
                continue
            start = job.record["started"] = self.clock.now()
            self.machine.shift(1)
            job.record["end"] = await self.serve(job, start)
            self.machine.shift(-1)
            job.record["ended"] = self.clock.now()
            job.record["seconds"] = job.record["ended"] - start

    async def serve(self, job, at):
        p, r = self.physics, job.record
        if p.swap > 0 and self.resident != job.model:
            if self.resident is not None:
                at += p.swap
                await self.clock.until(at)
            self.resident, self.cache = job.model, cache_of(p)
        r["cached"] = min(self.cache.take(job.prompt) // 4, r["prompt"] - 1)
        left = r["prompt"] - r["cached"]
        while left > 0:
            n = min(p.batch, left)
            at = await self.machine.work(at, n / p.prompt_rate)
            left -= n
            r["read"] += n
            if p.notice == "batch" and job.gone():
                self.cache.put(job.prompt[:4 * (r["cached"] + r["read"])])
                return "aborted"
        return await self.generate(job, at)

    async def generate(self, job, at):
        said, text, r = pieces(reply_to(job.kind, job.messages)), "", job.record
        for piece in said[:job.limit]:
            at = await self.machine.work(at, 1 / self.physics.pace)
            if job.gone():
                break
            text += piece
            r["made"] += 1
            job.token(piece, r["made"] == 1)
        self.cache.put(job.prompt + text.encode())
        if job.gone():
            return "aborted"
        job.finish(text, "stop" if r["made"] == len(said) else "length")
        return "finished"


class Connection(asyncio.Protocol):
    def __init__(self, servers, server):
        self.servers, self.server, self.buffer, self.closed, self.transport = servers, server, b"", False, None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, path, _ = lines[0].split(" ", 2)
            self.request(method, path, headers, rest[:length])

    def request(self, method, path, headers, body):
        if method == "POST" and path == "/v1/chat/completions":
            self.server.accept(Job(self, self.server, headers, json.loads(body)))
        elif path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": "big", "object": "model"}]})
        elif path == "/props" and self.server.props:
            self.answer(200, {"total_slots": 1, "default_generation_settings": {"n_ctx": 32768}})
        elif path == "/bench/records":
            self.answer(200, {"now": self.server.clock.now(), "records": [r for s in self.servers for r in s.records]})
        else:
            self.answer(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.write(b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                   % (status, b"OK" if status == 200 else b"Not Found", len(body)) + body)

    def write(self, data):
        if not self.closed:
            self.transport.write(data)

    def eof_received(self):
        self.closed = True

    def connection_lost(self, exc):
        self.closed = True


async def main():
    asked = json.loads(sys.argv[1])
    loop, clock, physics = asyncio.get_running_loop(), Clock(asked["scale"]), Physics(**asked["physics"])
    clock.zero = asked.get("zero", time.monotonic())
    machine = Machine(clock)
    servers = [Server("chat", clock, machine, physics, asked["props"])]
    if asked["servers"] == 2:
        servers.append(Server("tasks", clock, machine, physics.faster(physics.task_speed), asked["props"]))
    ports, workers = [], []
    for server in servers:
        listener = await loop.create_server(lambda s=server: Connection(servers, s), "127.0.0.1", 0)
        ports.append(listener.sockets[0].getsockname()[1])
        workers.append(asyncio.ensure_future(server.work()))
    print(json.dumps(ports), flush=True)
    end = loop.run_in_executor(None, sys.stdin.read)
    done, _ = await asyncio.wait([end, *workers], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()  # a worker that broke says so
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


if __name__ == "__main__":
    run(main())
