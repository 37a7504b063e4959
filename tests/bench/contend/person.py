"""A person in front of Open WebUI 0.12, and what Open WebUI does meanwhile: a title beside the first reply,
follow-ups and then tags after it, autocompletes in the pauses of typing, one of them at a time."""
import asyncio
import json
import math

from physics import digest, mark
from script import system, task_messages
from wire import post

BESIDE = 0.015  # seconds by which the title is ahead of its chat
AFTER = 0.05    # seconds from the end of a reply to its follow-ups
MEMBER = {"title": "title", "tags": "tags", "follow_up": "follow_ups", "autocomplete": "text"}


class World:
    """What all people of one run share."""

    def __init__(self, clock, chat_port, task_port, oracle, tasks, task_model, shared):
        self.clock, self.chat_port, self.task_port = clock, chat_port, task_port
        self.oracle, self.tasks, self.task_model, self.shared = oracle, tasks, task_model, shared
        self.chats, self.done, self.background = [], [], set()

    def later(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.background.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        self.background.discard(task)
        if not task.cancelled():
            task.result()


class Person:
    def __init__(self, world, number, conversations):
        self.world, self.number, self.conversations = world, number, conversations
        self.editor_busy = False
        self.sent = 0  # messages, ever
        self.typed = ""  # what stands in the editor

    def headers(self, task, chat):
        return [("X-OpenWebUI-Task", task), ("X-OpenWebUI-User-Id", f"person-{self.number}"),
                ("X-OpenWebUI-Chat-Id", chat)]

    async def play(self):
        for i, turns in enumerate(self.conversations):
            await self.conversation(i, turns)
        if self.world.oracle:
            self.world.oracle.tell(self.number, math.inf)

    async def conversation(self, i, turns):
        world, clock = self.world, self.world.clock
        history = []
        for k, turn in enumerate(turns):
            when = max(turn.planned, clock.now() + turn.least)
            if world.oracle:
                world.oracle.tell(self.number, when)
            await self.type(turn, when, history)
            await clock.until(when)
            self.typed = ""
            if world.oracle:
                world.oracle.tell(self.number, None)
            self.sent += 1
            history = history + [{"role": "user", "content": turn.text}]
            chat = f"chat-{self.number}-{i}"
            if k == 0 and "title" in world.tasks:
                world.later(self.task("title", history, chat))
                await clock.until(clock.now() + BESIDE)
            reply = await self.chat(i, k, chat, history)
            history = history + [{"role": "assistant", "content": reply.strip()}]  # as Open WebUI keeps it
            if "follow_up" in world.tasks:
                world.later(self.after_reply(k, chat, history))

    async def chat(self, i, k, chat, history):
        clock = self.world.clock
        document = {"stream": True, "model": "big",
                    "messages": [system(chat, self.world.shared)] + history}
        begun = clock.now()
        status, text, first, end = await post(self.world.chat_port, self.headers("", chat), document, clock)
        self.world.chats.append({"person": self.number, "session": i, "turn": k, "sent": begun, "first": first,
                                 "end": end, "status": status, "digest": digest(history)})
        return text

    async def after_reply(self, k, chat, history):
        await self.world.clock.until(self.world.clock.now() + AFTER)
        await self.task("follow_up", history, chat, sent=self.sent)
        if k == 0:
            await self.task("tags", history, chat)

    async def type(self, turn, when, history):
        """The pauses before a message is sent."""
        world = self.world
        for before, partial in turn.typed if "autocomplete" in world.tasks else ():
            at = when - before
            if at < world.clock.now():
                continue  # the turn left no time for this pause
            await world.clock.until(at)
            self.typed = partial
            if not self.editor_busy:
                world.later(self.complete(history, partial))

    async def complete(self, history, partial):
        self.editor_busy = True
        try:
            await self.task("autocomplete", history, "", partial=partial)
        finally:
            self.editor_busy = False

    async def task(self, kind, history, chat, sent=None, partial=""):
        world, clock = self.world, self.world.clock
        messages = task_messages(kind, history, partial)

        def passed_by():  # its answer would not be shown
            return self.typed != partial if kind == "autocomplete" else sent is not None and self.sent > sent

        row = {"kind": kind, "mark": mark(messages), "sent": clock.now(), "end": None, "status": 200,
               "empty": True, "ran": True}
        world.done.append(row)
        row["ran"] = not world.oracle or await world.oracle.turn(kind, messages, passed_by, kind != "autocomplete")
        if row["ran"]:
            row["status"], text = await self.ask(kind, messages, chat)
            row["empty"] = is_empty(kind, text)
            if world.oracle:
                world.oracle.done()
        row["end"], row["passed_by"] = clock.now(), passed_by()

    async def ask(self, kind, messages, chat):
        document = {"model": self.world.task_model, "messages": messages, "stream": False}
        if kind == "title":
            document["max_tokens"] = 1000
        name = {"tags": "tags_generation"}.get(kind, kind + "_generation")
        status, text, _, _ = await post(self.world.task_port, self.headers(name, chat), document, self.world.clock)
        return status, text


def is_empty(kind, text):
    try:
        return not json.loads(text)[MEMBER[kind]]
    except (ValueError, KeyError, TypeError):
        return True
