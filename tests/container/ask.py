#!/usr/bin/env python3
"""ask.py PORT: the same task twice: the first is a miss that is stored, the second a hit."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import prompts
from client import Client

with Client(int(sys.argv[1])) as client:
    for want in ("lull; fwd=uri-miss; stored", "lull; hit; "):
        answer = client.post(prompts.PATH["openai"], prompts.body("title", "in a container"),
                             prompts.headers(kind="title", user="u1"))
        print(answer.status, answer.task, answer.cache_status, answer.content)
        if answer.status != 200 or not answer.cache_status.startswith(want):
            sys.exit(f"expected {want!r}, got {answer}")
