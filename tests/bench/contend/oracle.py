"""The reference that no proxy can be: it has read the script. A task runs only while no chat is open, one at
a time, and only if it ends before the next message of any person."""
import asyncio
import math

from physics import pieces, prompt_of, reply_to, tokens

MARGIN = 0.1  # seconds


class Oracle:
    def __init__(self, clock, physics, people, second):
        self.clock, self.second = clock, second
        self.physics = physics.faster(physics.task_speed) if second else physics
        self.next = [0.0] * people  # when each person sends next; while a chat of that person is open: now
        self.busy, self.wake = False, asyncio.Event()

    def tell(self, person, when):
        """When a person's next chat comes; None: one is open; inf: no more."""
        self.next[person] = -math.inf if when is None else when
        self.changed()

    def changed(self):
        self.wake.set()
        self.wake = asyncio.Event()

    def lasts(self, kind, messages):
        p = self.physics
        answer = len(pieces(reply_to(kind, messages)))
        return tokens(prompt_of(messages)) / p.prompt_rate + answer / p.pace + 2 * p.swap + MARGIN

    def fits(self, kind, messages):
        return not self.busy and self.clock.now() + self.lasts(kind, messages) <= min(self.next)

    async def turn(self, kind, messages, obsolete, patient):
        """True: it may run, and done() is called after it. False: it is not worth running any more."""
        while not self.fits(kind, messages):
            if not patient or obsolete():
                return False
            await self.wake.wait()
        if obsolete():
            return False
        self.busy = True
        return True

    def done(self):
        self.busy = False
        self.changed()
