"""What a person does, written down before: messages, when they are sent, what is typed when. It depends on
the seed, the person and the physics alone, so that every mode plays the same. The prompts of the tasks
are those of Open WebUI 0.12.4 (tests/fixtures/requests).
"""
import json
import os
import random

from physics import pieces, prompt_of, reply_to, tokens, words

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
RULES = "You are a careful assistant of a small workshop. Answer in plain words and short sentences. " * 5
MARK = "<chat_history>\n"
QUICK = 0.25  # of the later messages were ready when the reply ended
LEAST = 4.0  # seconds a person takes at least, unless the next message was ready


def templates():
    """The prompts up to the history, by kind."""
    out = {}
    with open(os.path.join(SOURCE, "tests/fixtures/requests/open-webui.jsonl"), encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            if d["version"] == "0.12.4" and d["kind"] not in out and MARK in d["body"].replace("\\n", "\n"):
                text = json.loads(d["body"])["messages"][-1]["content"]
                if MARK in text:
                    out[d["kind"]] = text[:text.rindex(MARK) + len(MARK)]
    return {kind: out[kind] for kind in ("title", "tags", "follow_up", "autocomplete")}


TEMPLATES = templates()


def cut(text):
    """A text of more than 1,000 characters without its middle."""
    return text[:498] + "..." + text[-499:] if len(text) > 1000 else text


def lines(messages, of=str):
    return "\n".join(f"{m['role'].upper()}: {of(m['content'])}" for m in messages)


def task_messages(kind, history, partial=""):
    """The one message of a task. history: without the system message."""
    if kind == "title":
        text = lines(history + [{"role": "assistant", "content": ""}])
    elif kind == "follow_up":
        text = lines(history[:1] + history[1:][-4:], cut)
    else:
        text = lines(history[-6:])
    end = "\n</chat_history>"
    if kind == "autocomplete":
        end += f"\n<type>general</type>  \n<text>{partial}</text>  \n#### Output:\n"
    return [{"role": "user", "content": TEMPLATES[kind] + text + end}]


class Turn:
    """text: what is sent; planned: when; quick: it was ready when the reply ended; typed: (seconds before it
    is sent, what stands in the editor) of every pause that is long enough for an autocomplete."""

    def __init__(self, text, planned, least, typed):
        self.text, self.planned, self.least, self.typed = text, planned, least, typed


def typing(rng, text):
    """How long it takes, and its pauses of more than a second, as (seconds before the end, text so far)."""
    at, stops = 0.0, []
    for i, word in enumerate(text.split(" ")):
        at += (len(word) + 1) / 6.5
        if i > 1 and rng.random() < 0.13:
            pause = rng.uniform(1.3, 2.6)
            stops.append((at + 1.0, " ".join(text.split(" ")[:i + 1])))
            at += pause
    return at, [(at - when, part) for when, part in stops]


def message(rng, first):
    if first and rng.random() < 0.3:  # something pasted, and a question about it
        return words(rng, rng.randint(600, 1500)) + "?", True
    return words(rng, rng.randint(12, 40)).strip() + "?", False


def nominal(physics, history, text, cold):
    """How long its reply takes where nothing else is."""
    messages = history + [{"role": "user", "content": text}]
    read = tokens(prompt_of(messages)) if cold else tokens(text.encode()) + 10
    reply = reply_to("chat", messages)
    return read / physics.prompt_rate + len(pieces(reply)) / physics.pace, reply


def system(name, shared):
    """What stands before the conversation: nothing that two of them share, or so many shared tokens first."""
    return {"role": "system", "content": words(random.Random("shared"), shared) + f"Conversation {name}. " + RULES}


def session(rng, physics, start, turns):
    """The turns of one conversation, and when the person is done with it."""
    out, at, history, think, least = [], start, [system("of the plan", 0)], 0.0, 0.0
    for k in range(turns):
        text, pasted = message(rng, k == 0)
        took, typed = typing(rng, text)
        quick = k > 0 and rng.random() < QUICK
        if quick:  # a short answer, or one that was typed while the reply came: before its tasks are over
            think = least = rng.uniform(1.0, 5.0)
            typed = []
        elif k > 0:
            think = rng.uniform(6.0, 16.0) + took
            least = LEAST
        at += think if k > 0 else 0.0
        out.append(Turn(text, at, least, [] if pasted else typed))
        took, reply = nominal(physics, history, text, k == 0)
        at += took
        history += [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
    return out, at


def sessions(seed, person, physics, rounds):
    """All conversations of a person."""
    rng = random.Random(f"{seed}/{person}")
    out, at = [], 12.0 + (rng.uniform(0.0, 25.0) if person else 0.0)
    for _ in range(rounds):
        turns, at = session(rng, physics, at, rng.randint(4, 6))
        out.append(turns)
        at += rng.uniform(14.0, 24.0)
    return out
