#!/usr/bin/env python3
"""drive.py ADDRESS STEP...: what a client does in the container run. ADDRESS is a port of 127.0.0.1 or
the path of a Unix socket.

    task TEXT STATUS [PATH]   a title for TEXT; its Cache-Status must begin with STATUS
    chat FOLDER               a streamed chat: its first piece must come while the model server holds the
                              second half back (until FOLDER/go is there)
    type FIRST SECOND         two autocompletes of one typist, the second while the first waits; prints
                              their Cache-Status
"""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import prompts
from client import Client

ADDRESS = int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1]


def task(text, want, path=prompts.PATH["openai"]):
    with Client(ADDRESS) as client:
        answer = client.post(path, prompts.body("title", text), prompts.headers(kind="title", user="u1"))
    print(f"task {path}: {answer.status}, {answer.task}, {answer.cache_status}, {answer.content}")
    if answer.status != 200 or answer.task != "title" or not answer.cache_status.startswith(want):
        sys.exit(f"expected {want!r}, got {answer}")


def chat(folder):
    go = os.path.join(folder, "go")
    with Client(ADDRESS) as client:
        client.start("POST", prompts.PATH["openai"], prompts.headers(kind="", user="u1"),
                     prompts.chat_body("Hello"))
        answer = client.response_head()
        client.read_chunk(answer)
        early = len(answer.body)
        with open(go, "w", encoding="ascii"):
            pass
        client.read_body(answer)
        os.unlink(go)
    print(f"chat: {answer.status}, {early} bytes before the model server went on, {len(answer.body)} in all")
    if answer.status != 200 or not answer.body.endswith(b"data: [DONE]\n\n") or answer.task:
        sys.exit(f"the chat: {answer}")
    if not 0 < early < len(answer.body):
        sys.exit("the first piece was not passed on at once")


def type_(first, second):
    answers = {}

    def ask(text):
        with Client(ADDRESS) as client:
            answers[text] = client.post(
                prompts.PATH["openai"], prompts.body("autocomplete", text),
                prompts.headers(kind="autocomplete", user="u1"))
    older = threading.Thread(target=ask, args=(first,))
    older.start()
    newer = threading.Timer(0.3, ask, args=(second,))  # a person's pause; far below the window
    newer.start()
    older.join()
    newer.join()
    print(answers[first].cache_status.split("; ", 1)[1], "|", answers[second].cache_status.split("; ", 1)[1])


if __name__ == "__main__":
    {"task": task, "chat": chat, "type": type_}[sys.argv[2]](*sys.argv[3:])
