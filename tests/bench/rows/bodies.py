"""What is asked: files with one body a line, in which 00000000 stands for the number."""
import json

import stub

# As in bare.c.
SUGGESTION = " and then all of us went down to the river to see the boats come in before the sun was gone"
TEMPLATE = ("### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the **completion type** in `<type>` and the given "
            "language.  \n\n### **Instructions**:\n1. Answer in JSON.\n\n### **Examples**:\n#### Example 1\nInput:\n<type>General</type>\n"
            "<text>The sun was setting over the horizon, painting the sky</text>\nOutput:\n{ \"text\": \"with vibrant shades.\" }\n\n---\n"
            "### Context:\n<chat_history>\n%s\n</chat_history>\n<type>general</type>  \n<text>%s</text>  \n#### Output:\n")


def completion(size, context, text):
    """The body of an autocomplete of about `size` bytes of context."""
    history = f"USER: ```context {context:07d} " + ("word " * (size // 5)) + "```"
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": TEMPLATE % (history, text)}], "stream": False},
                      separators=(",", ":")).encode()


def typed(text):
    """What a person types who takes the suggestion, word by word; without its last word."""
    at = [i for i, c in enumerate(SUGGESTION) if c == " "][1:]
    return [text + SUGGESTION[:i] for i in at]


def write(work, name, bodies):
    path = work / name
    path.write_bytes(b"".join(body + b"\n" for body in bodies))
    return path


def titles(work, size):
    return write(work, f"title-{size}", [stub.title(size)])


def chats(work):
    return write(work, "chat", [stub.chat(1024)])
