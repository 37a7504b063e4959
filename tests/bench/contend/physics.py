"""The declared physics of the scripted model: a clock that may run faster than the wall's, a machine that
its servers share, a prompt cache, and what is answered. All times are declared seconds, not the wall's.
"""
import asyncio
import hashlib
import json
import random
import selectors
import time
from dataclasses import dataclass, replace

TASKS = {"title_generation": "title", "tags_generation": "tags", "follow_up_generation": "follow_up",
         "autocomplete_generation": "autocomplete"}


@dataclass
class Physics:
    prompt_rate: float = 500.0  # tokens/s
    pace: float = 40.0          # tokens/s of the answer
    batch: int = 512            # tokens; a closed client is noticed between two of them
    cache: int = 1              # prompts that are kept; 1: one slot, as the next two lines say
    window: int = -1            # tokens that the slot can go back; -1: any number
    idle: int = 0               # sequences that are kept outside the slot
    notice: str = "batch"       # first-token: of a closed client nothing is noticed before
    swap: float = 0.0           # seconds to bring in another model; 0: it holds them all
    task_speed: float = 3.0     # how much faster the small model of the second server is

    def faster(self, by):
        return replace(self, prompt_rate=self.prompt_rate * by, pace=self.pace * by)

    def one_batch(self):
        return self.batch / self.prompt_rate


class Clock:
    """Declared seconds: `scale` of them pass in one of the wall's."""

    def __init__(self, scale):
        self.scale, self.zero = scale, time.monotonic()

    def now(self):
        return (time.monotonic() - self.zero) * self.scale

    async def until(self, when):
        left = (when - self.now()) / self.scale
        if left > 0:
            await asyncio.sleep(left)


def run(main):
    """asyncio.run() with timers finer than the millisecond that epoll knows."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class Machine:
    """What its servers share: while two of them work, each goes at half its pace."""

    def __init__(self, clock):
        self.clock, self.active, self.changed = clock, 0, asyncio.Event()
        self.changed_at = 0.0

    def shift(self, by):
        self.active += by
        self.changed_at = self.clock.now()
        self.changed.set()
        self.changed = asyncio.Event()

    async def work(self, start, seconds):
        """Does work that takes `seconds` alone and was begun at `start`; the time when it is done. Sleeping
        too long is not added up: the next piece begins when this one was due."""
        at, left = start, seconds
        while True:
            share, changed = max(1, self.active), self.changed
            due = at + left * share
            wait = (due - self.clock.now()) / self.clock.scale
            if wait <= 0:
                await asyncio.sleep(0)
                return due
            try:
                await asyncio.wait_for(changed.wait(), wait)
            except asyncio.TimeoutError:
                return due
            moved = min(max(self.changed_at, at), due)
            left -= (moved - at) / share
            at = moved


def common(a, b):
    """How many bytes two texts have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Cache:
    """The prompts that were read last, as text, with what was answered to them."""

    def __init__(self, size):
        self.size, self.kept = size, []

    def take(self, prompt):
        """How many bytes need not be read. An entry that the prompt goes on from is used up by it."""
        best, at = 0, -1
        for i, entry in enumerate(self.kept):
            n = common(entry, prompt)
            if n > best:
                best, at = n, i
        if at >= 0 and best * 2 >= len(self.kept[at]):
            self.kept.pop(at)
        return best

    def put(self, text):
        self.kept.append(text)
        del self.kept[:-self.size]


class Slot:
    """One slot, which holds one sequence: the last prompt and what was answered to it. A prompt reuses what
    the two begin with. A model with full attention goes back to there, however far it is. One with a sliding
    window goes back `window` tokens at most, else it reads the prompt from its beginning.

    With `idle`, sequences are put aside as llama.cpp does with --cache-ram: when less than half of what the
    slot holds would stay, or the prompt has less than a tenth in common with it, it is put aside, and one
    that was put aside before comes back where it has more in common with the prompt."""

    def __init__(self, window=-1, idle=0):
        self.window, self.idle, self.held, self.aside = window, idle, b"", []

    def take(self, prompt):
        """How many bytes need not be read."""
        if self.idle > 0 and self.held and self.differs(prompt):
            self.put_aside()
            self.bring_back(prompt)
        same = common(self.held, prompt)
        back = len(self.held) - same
        self.held = b""
        return 0 if 0 <= 4 * self.window < back else same

    def put(self, text):
        self.held = text

    def differs(self, prompt):
        same = common(self.held, prompt)
        return 2 * same < len(self.held) or 10 * same <= len(prompt)

    def put_aside(self):
        if not any(a.startswith(self.held) for a in self.aside):
            self.aside = [a for a in self.aside if not self.held.startswith(a)] + [self.held]
            del self.aside[:-self.idle]

    def bring_back(self, prompt):
        best, at, kept = common(self.held, prompt), None, self.held
        for a in self.aside:
            same = common(a, prompt)
            if 4 * same >= len(a) and same > best and same * len(kept) > best * len(a):
                best, at, kept = same, a, a
        if at is not None:
            self.aside.remove(at)
            self.held = at


def cache_of(physics):
    return Slot(physics.window, physics.idle) if physics.cache == 1 else Cache(physics.cache)


def tokens(data):
    return (len(data) + 3) // 4


def prompt_of(messages):
    return "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in messages).encode() + b"<|assistant|>"


def digest(messages):
    return hashlib.sha1(messages[-1]["content"].encode()).hexdigest()[:12]


def mark(messages):
    """What tells the call of a task from others of its kind: the end of its conversation, whether that stands
    in its own prompt or in the messages before it."""
    said = messages[-2 if len(messages) > 1 else -1]["content"].removesuffix("\n</chat_history>")
    return hashlib.sha1(said.strip()[-200:].encode()).hexdigest()[:12]


def words(rng, count):
    """So many words of four bytes, each a token."""
    return "".join("".join(rng.choice("aeioulnrst") for _ in range(3)) + " " for _ in range(count))


def reply_to(kind, messages):
    """What the model says; the same to the same question."""
    rng = random.Random(digest(messages))
    if kind == "title":
        return json.dumps({"title": words(rng, 8).strip()})
    if kind == "tags":
        return json.dumps({"tags": [words(rng, 3).strip() for _ in range(3)]})
    if kind == "follow_up":
        return json.dumps({"follow_ups": [words(rng, 17).strip() for _ in range(3)]})
    if kind == "autocomplete":
        return json.dumps({"text": " " + words(rng, 6).strip()})
    return words(rng, rng.randint(120, 350))


def pieces(text):
    data = text.encode()
    return [data[i:i + 4].decode() for i in range(0, len(data), 4)]
