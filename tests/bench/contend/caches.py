#!/usr/bin/env python3
"""The scripted caches alone, to compare with real servers: a chat of about 1,000 tokens, a title, follow-ups and
tags, and the chat's next message. Prints the tokens that each of them reads. Tasks as asked; each behind the
conversation; each behind the one before (chained). README.md has what real servers read."""
import random

from contend import VARIANTS
from physics import Physics, cache_of, prompt_of, reply_to, tokens, words
from script import MARK, task_messages

KINDS = ("title", "follow_up", "tags")
NOTE = "This is a separate task about the conversation above, not a message in it. " * 3 + "\n\n"
SYSTEM = {"role": "system", "content": "You are a careful assistant."}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def instruction(kind, history):
    text = task_messages(kind, history)[0]["content"]
    return NOTE + text[:text.rindex(MARK) + len(MARK)] + "(the conversation above)\n</chat_history>"


def reads(cache, messages, answer):
    prompt = prompt_of(messages)
    cached = min(cache.take(prompt) // 4, tokens(prompt) - 1)
    cache.put(prompt + answer.encode())
    return tokens(prompt) - cached


def play(cache, form):
    """Tokens read by each task, and by the next message."""
    rng = random.Random(1)
    history = [user(words(rng, 900).strip() + "?"), assistant(words(rng, 90).strip())]
    chat, read = [SYSTEM] + history, []
    reads(cache, chat[:-1], history[-1]["content"] + " ")
    before = chat
    for kind in KINDS:
        messages = task_messages(kind, history) if form == "as asked" else before + [user(instruction(kind, history))]
        answer = reply_to(kind, messages)
        read.append(reads(cache, messages, answer))
        before = messages + [assistant(answer)] if form == "chained" else chat
    return read, reads(cache, chat + [user("And then?")], "Nothing.")


def main():
    print(f"{'cache':<12}{'form':<10}" + "".join(f"{kind:>11}" for kind in KINDS) + f"{'all':>8}{'next':>8}")
    for name in ("base", "no-back", "host-cache", "cache4"):
        for form in ("as asked", "behind", "chained"):
            read, after = play(cache_of(Physics(**VARIANTS[name])), form)
            print(f"{name:<12}{form:<10}" + "".join(f"{n:>11}" for n in read) + f"{sum(read):>8}{after:>8}")


if __name__ == "__main__":
    main()
