"""The clients of the soak test: they ask at a fixed rate, whatever is still open, and judge every answer."""
import asyncio
import collections
import json
import random
import socket
import struct
import time

import mix
from model import listing

KEPT = 64          # connections that are kept open at most
PATIENCE = 90.0    # how long a client waits for a whole answer: a title may be held for 60 s
LONG = 10.0        # an answer that takes longer is counted
STEP = 6           # keys between two autocompletes of a person, at most
TYPISTS = 50
RECENT = 300


class Ended(Exception):
    """The connection ended; `answer` is what had come."""

    def __init__(self, answer):
        super().__init__("the connection ended")
        self.answer = answer


class Answer:
    def __init__(self):
        self.status, self.headers, self.body = 0, {}, b""
        self.first = self.last = None

    @property
    def detail(self):
        return self.headers.get("cache-status", "").partition("detail=")[2]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer)

    def close(self, reset=False):
        if reset:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()

    async def ask(self, data):
        answer = Answer()
        try:
            self.writer.write(data)
            await self.read(answer)
        except (OSError, asyncio.IncompleteReadError):
            raise Ended(answer) from None
        answer.last = time.monotonic()
        return answer

    async def read(self, answer):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer.status = int(head[0].split(" ")[1])
        answer.headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        if "transfer-encoding" in answer.headers:
            while (size := int(await self.reader.readuntil(b"\r\n"), 16)):
                answer.body += (await self.reader.readexactly(size + 2))[:-2]
                answer.first = answer.first or time.monotonic()
            await self.reader.readexactly(2)
        elif "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        else:
            answer.body = await self.reader.read(-1)
        answer.first = answer.first or time.monotonic()


class Load:
    """rate: requests in a second; slow: factor on the patience, for a daemon under Valgrind."""

    def __init__(self, port, direct_port, rate, seed, slow=1):
        self.port, self.direct_port, self.rate, self.slow = port, direct_port, rate, slow
        self.random = random.Random(seed)
        self.templates, self.left_out = mix.templates()
        self.next_number = 0
        self.recent = collections.defaultdict(lambda: collections.deque(maxlen=RECENT))
        self.typists = []
        self.kept = []
        self.open = set()
        self.sent = collections.Counter()      # whole requests sent, by kind
        self.left = collections.Counter()      # of them, where the client left before the answer
        self.saw = collections.Counter()       # what the answers said, by kind and outcome
        self.failed = collections.Counter()    # errors that the number explains
        self.late = collections.defaultdict(list)  # seconds of the answers that took long
        self.direct = 0
        self.resent = 0
        self.most_open = 0
        self.problems = []
        self.added_first, self.added_last = [], []
        self.chat_first, self.direct_first = [], []

    # ---- what is asked -----------------------------------------------------------------------------------
    def fresh(self):
        self.next_number += 1
        return self.next_number

    def draw(self):
        """A template, a number and how much of the phrase is typed."""
        template = self.random.choice(self.templates)
        if template.kind == "autocomplete":
            return (template, *self.typed(template))
        recent = self.recent[template.source]
        if recent and template.kind not in mix.ASKED_ONCE and self.random.random() < 0.6:
            return template, self.random.choice(recent), 0
        number = self.fresh()
        recent.append(number)
        return template, number, 0

    def typed(self, template):
        """A user types on, or begins."""
        if len(self.typists) < TYPISTS or self.random.random() < 0.1:
            self.typists.append([template, self.fresh(), 20])
            self.typists = self.typists[-TYPISTS:]
        person = self.random.choice(self.typists)
        person[2] += self.random.randint(0, STEP)
        if person[2] > 200:
            self.typists.remove(person)
        return person[1], person[2]

    # ---- one request -------------------------------------------------------------------------------------
    async def one(self):
        template, number, typed = self.draw()
        if template.kind == "autocomplete":
            template = next((p[0] for p in self.typists if p[1] == number), template)
        fault = mix.fault_of(number, template.kind)
        data = self.request(template, number, typed)
        leaves = self.random.random() < 0.02 or (template.kind == "chat" and fault in ("hang", "hang inside"))
        if template.kind == "chat" and template.stream and fault is None and not leaves and self.random.random() < 0.33:
            await self.pair(template, number, data)
            return
        try:
            answer = await self.exchange(template, data, leaves and self.random.random() * (2 if fault else 0.06))
        except Ended as ended:
            if fault is None:
                self.problem(template, number, f"cut: {ended.answer}")
            self.failed[f"{template.kind}: cut"] += 1
            return
        if answer is not None:
            self.judge(template, number, typed, fault, answer)

    def request(self, template, number, typed, direct=False):
        body = template.body(number, typed)
        head = template.head(number, len(body), "127.0.0.1:1")
        if template.ollama and not direct:
            head = head.replace(b" /", b" /@ollama/", 1)
        return head + body

    async def exchange(self, template, data, leave_after):
        """The answer; None where the client left."""
        while True:
            connection, used = await self.connection()
            try:
                self.sent[template.kind] += 1
                began = time.monotonic()
                if leave_after:
                    connection.writer.write(data)
                    await asyncio.sleep(leave_after)
                    self.left[template.kind] += 1
                    connection.close(self.random.random() < 0.5)
                    return None
                answer = await asyncio.wait_for(connection.ask(data), PATIENCE * self.slow)
            except Ended as ended:
                connection.close()
                if used and ended.answer.status == 0:  # the keep-alive race: as every client, once more
                    self.sent[template.kind] -= 1
                    self.resent += 1
                    continue
                raise
            except asyncio.TimeoutError:
                connection.close()
                self.problem(template, 0, f"no whole answer in {PATIENCE * self.slow} s to {data[-300:]!r}")
                self.left[template.kind] += 1
                return None
            if (took := answer.last - began) > LONG:
                self.late[f"{template.kind}: {self.outcome(answer)}"].append(round(took, 1))
            if answer.headers.get("connection", "").lower() == "close" or len(self.kept) >= KEPT:
                connection.close()
            else:
                self.kept.append(connection)
            return answer

    async def connection(self):
        """A connection, and whether it was used before: half of the requests open one, as Open WebUI does."""
        if self.kept and self.random.random() < 0.5:
            return self.kept.pop(self.random.randrange(len(self.kept))), True
        return await Connection.to(self.port), False

    async def pair(self, template, number, data):
        """The same chat through lull and directly, at the same time: what does lull add?"""
        async def direct():
            connection = await Connection.to(self.direct_port)
            self.direct += 1
            began = time.monotonic()
            try:
                answer = await connection.ask(self.request(template, number, 0, direct=True))
            finally:
                connection.close()
            return answer.first - began, answer.last - began

        async def through():
            connection = await Connection.to(self.port)
            self.sent["chat"] += 1
            began = time.monotonic()
            try:
                answer = await asyncio.wait_for(connection.ask(data), PATIENCE * self.slow)
            except (Ended, asyncio.TimeoutError) as error:
                self.problem(template, number, f"a chat without a fault: {error!r}")
                return None
            finally:
                connection.close()
            self.judge(template, number, 0, None, answer)
            return answer.first - began, answer.last - began

        both = [direct(), through()]
        if self.random.random() < 0.5:
            straight, passed = await asyncio.gather(*both)
        else:
            passed, straight = await asyncio.gather(*reversed(both))
        if passed is not None:
            self.added_first.append(passed[0] - straight[0])
            self.added_last.append(passed[1] - straight[1])
            self.chat_first.append(passed[0])
            self.direct_first.append(straight[0])

    # ---- the judgement -----------------------------------------------------------------------------------
    def problem(self, template, number, what):
        self.problems.append(f"{template.kind} {number} of {template.source} ({template.target}): {what}")

    def judge(self, template, number, typed, fault, answer):
        """Notes what came, and what is wrong with it."""
        kind = template.kind
        task = answer.headers.get("x-lull-task")
        if task != (kind if kind in mix.TASKS else None):
            self.problem(template, number, f"taken for {task}")
        self.saw[kind, self.outcome(answer)] += 1
        if answer.status != 200:
            self.failed[f"{kind}: {answer.status} {answer.headers.get('x-lull-error', 'of the server')}"] += 1
            if fault is None:
                self.problem(template, number, f"an error without a fault: {answer}")
            return
        if fault == "page" and answer.body == b"<h1>Oops</h1>":
            self.failed[f"{kind}: a page"] += 1
            return
        try:
            wrong = self.wrong(template, number, typed, answer)
        except (ValueError, KeyError, TypeError) as error:
            wrong = repr(error)
        if wrong:
            self.problem(template, number, f"{wrong}: {answer}")

    @staticmethod
    def outcome(answer):
        status = answer.headers.get("cache-status", "")
        if not status:
            return "passed"
        if "hit" in status:
            return "type-through" if "type-through" in status else "pending" if "pending" in status else "hit"
        if "collapsed" in status:
            return "collapsed"
        return answer.detail or status.replace("lull; fwd=", "")

    def wrong(self, template, number, typed, answer):
        """Why an answer is not this request's; None where it is."""
        if template.empty:
            return None if json.loads(answer.body) == listing(template.target) else "another list"
        if template.kind == "other":
            if template.form is None:
                return None if json.loads(answer.body).get("soak") == number else "another's"
            return None if str(number) in answer.body.decode() else "another's"
        if template.kind == "chat":
            text = mix.content("chat", number)
            if template.stream:
                want = "".join(mix.pieces(template.form, template.model, text)).encode()
            else:
                want = json.dumps(mix.whole(template.form, template.model, text), ensure_ascii=False).encode()
            return None if answer.body == want else "not the bytes that the server sent"
        text = mix.content_of(answer.body)
        own = answer.headers.get("cache-status", "").startswith("lull; detail=")
        if own:
            return None if text == mix.HARMLESS.get(template.kind) else "not the harmless answer"
        if template.kind == "autocomplete":
            said = json.loads(text)["text"]
            whole = mix.phrase(number)
            return None if said and whole.startswith(whole[:typed] + said) else f"does not continue {whole[:typed]!r}"
        return None if text == mix.content(template.kind, number) else "another's"

    # ---- the rate ----------------------------------------------------------------------------------------
    async def guarded(self):
        try:
            await self.one()
        except Exception as error:  # a fault of the load is no pass
            self.problems.append(f"the load: {error!r}")

    async def run(self, seconds):
        """Asks at the rate for that long; then waits for what is open."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        end = due + seconds
        while due < end:
            due += self.random.expovariate(self.rate)
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.ensure_future(self.guarded())
            self.open.add(task)
            task.add_done_callback(self.open.discard)
            self.most_open = max(self.most_open, len(self.open))
        while self.open:
            await asyncio.wait(self.open)
        for connection in self.kept:
            connection.close()
        self.kept.clear()
