"""Requests as Open WebUI makes them, for tests. The openings and the endings are those of its default
templates, the rest is in own words; captured requests are replayed by test_replay.py.
"""
import json

CHAT_END = "</chat_history>"


def history(*turns):
    """("user", text), ("assistant", text) ... as the templates write them."""
    return "\n".join(f"{role.upper()}: {text}" for role, text in turns)


def first_turn(text):
    """The history of a title that is asked for beside the first reply (0.10 and newer)."""
    return history(("user", text), ("assistant", ""))


def title(turns):
    return ("### Task:\nGenerate a concise title summarizing the chat history.\n### Guidelines:\n"
            "- Say what the conversation is about.\n### Output:\nJSON format: "
            '{ "title": "your concise title here" }\n### Chat History:\n<chat_history>\n'
            + turns + "\n" + CHAT_END)


def title_old(turns):
    return ("### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history."
            "\n### Guidelines:\n- Use emojis.\n### Output:\nJSON format: "
            '{ "title": "your concise title here" }\n### Chat History:\n<chat_history>\n'
            + turns + "\n" + CHAT_END)


def tags(turns):
    return ("### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, "
            "along with 1-3 more specific subtopic tags.\n\n### Output:\nJSON format: "
            '{ "tags": ["tag1", "tag2", "tag3"] }\n\n### Chat History:\n<chat_history>\n'
            + turns + "\n" + CHAT_END)


def follow_up(turns):
    return ("### Task:\nPredict 3-5 useful messages this user might naturally send next to advance "
            "their current objective.\n### Output:\nJSON format: "
            '{ "follow_ups": ["message 1", "message 2", "message 3"] }\n'
            "### Chat History:\n<chat_history>\n" + turns + "\n" + CHAT_END)


def follow_up_old(turns):
    return ("### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might "
            "naturally ask next in this conversation as a **user**.\n### Output:\nJSON format: "
            '{ "follow_ups": ["Question 1?", "Question 2?", "Question 3?"] }\n'
            "### Chat History:\n<chat_history>\n" + turns + "\n" + CHAT_END)


def query(turns):
    return ("### Task:\nAnalyze the chat history to determine the necessity of generating search "
            "queries, in the given language.\n\n### Guidelines:\n- Today's date is: 2026-11-24.\n\n"
            '### Output:\n{\n  "queries": ["query1", "query2"]\n}\n\n### Chat History:\n'
            "<chat_history>\n" + turns + "\n" + CHAT_END + "\n")


def image_prompt(turns):
    return ("### Task:\nGenerate a detailed prompt for am image generation task based on the given "
            "language and context.\n\n### Output:\nStrictly return in JSON format:\n{\n"
            '    "prompt": "Your detailed description here."\n}\n\n### Chat History:\n'
            "<chat_history>\n" + turns + "\n" + CHAT_END)


def autocomplete(text, turns="", completion_type="general"):
    return ("### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the "
            "**completion type** in `<type>` and the given language.  \n\n### **Instructions**:\n"
            "1. Answer in JSON.\n\n### **Examples**:\n#### Example 1\nInput:\n"
            "<type>General</type>\n<text>The sun was setting over the horizon, painting the sky"
            '</text>\nOutput:\n{ "text": "with vibrant shades." }\n\n---\n### Context:\n'
            "<chat_history>\n" + turns + "\n</chat_history>\n"
            f"<type>{completion_type}</type>  \n<text>{text}</text>  \n#### Output:\n")


def emoji(text):
    return ("Your task is to reflect the speaker's likely facial expression through a fitting emoji. "
            "Interpret emotions from the message and reflect their facial expression using fitting, "
            "diverse emojis (e.g., \U0001f60a, \U0001f622).\n\nMessage: ```" + text + "```")


def moa(text):
    return ("You have been provided with a set of responses from various models to the latest user "
            f'query: "{text}"\n\nYour task is to synthesize them.\n\nResponses from models: '
            '"""one"""\n"""two"""')


def rag(text):
    return ("### Task:\nRespond to the user query using the provided context, incorporating inline "
            "citations in the format [id].\n\n<context>\nSome context.\n</context>\n\n" + text)


PROMPTS = {
    "title": lambda text: title(first_turn(text)),
    "tags": lambda text: tags(history(("user", text), ("assistant", "It depends."))),
    "follow_up": lambda text: follow_up(history(("user", text), ("assistant", "It depends."))),
    "query": lambda text: query(history(("user", text))),
    "autocomplete": lambda text: autocomplete(text),
    "emoji": emoji,
    "image_prompt": lambda text: image_prompt(history(("user", text))),
}
HEADER_VALUES = {
    "title": "title_generation", "tags": "tags_generation", "follow_up": "follow_up_generation",
    "query": "query_generation", "autocomplete": "autocomplete_generation",
    "emoji": "emoji_generation", "image_prompt": "image_prompt_generation",
    "tool_selection": "function_calling", "memory_review": "memory_review",
    "context_compaction": "context_compaction", "moa": "moa_response_generation",
}
CACHED = ("title", "tags", "follow_up", "query", "autocomplete", "emoji", "image_prompt")
MODEL = {"openai": "qwen3-8b", "ollama": "llama3.2:3b"}
PATH = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}


def prompt(kind, text):
    return PROMPTS[kind](text)


def messages_for(kind, text):
    if kind == "tool_selection":
        return [{"role": "system", "content": 'Available Tools: [{"name": "add"}]\n\nYour task is to '
                 "choose and return the correct tool(s) from the list of available tools based on "
                 "the query."},
                {"role": "user", "content": f'History:\nUSER: """{text}"""\nQuery: {text}'}]
    if kind == "memory_review":
        return [{"role": "system",
                 "content": "You are Open WebUI's private memory reviewer. Return only valid JSON."},
                {"role": "user", "content": "Review the completed conversation turn and decide "
                 "whether long-term memory should change.\n" + text}]
    if kind == "context_compaction":
        return [{"role": "user", "content": "### Task:\nSummarize the conversation history that will "
                 "be compacted out of the active chat context.\n\n### Previous Summary:\nNone\n\n"
                 "### Messages Being Compacted:\nUSER: " + text}]
    return [{"role": "user", "content": prompt(kind, text)}]


def body(kind, text, dialect="openai", model=None, **more):
    """The body of a task as Open WebUI 0.12 sends it: compact JSON, raw UTF-8."""
    document = {"model": model or MODEL[dialect], "messages": messages_for(kind, text),
                "stream": False}
    if kind == "title":
        if dialect == "openai":
            document["max_tokens"] = 1000
        else:
            document = {**document, "options": {"num_predict": 1000}}
    document.update(more)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def headers(dialect="openai", key="sk-test", kind=None, user=None, chat=None):
    """The headers as aiohttp sends them, in its order."""
    out = [("Content-Type", "application/json")]
    if dialect == "openai":
        out.append(("Authorization", f"Bearer {key}"))
    if kind is not None:
        out.append(("X-OpenWebUI-Task", HEADER_VALUES.get(kind, kind)))
    if user is not None:
        out.append(("X-OpenWebUI-User-Id", user))
    if chat is not None:
        out.append(("X-OpenWebUI-Chat-Id", chat))
    return out + [("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate, br"),
                  ("User-Agent", "Python/3.11 aiohttp/3.14.5")]


def chat_body(text, dialect="openai", stream=True, model=None, tools=True, turns=()):
    messages = [{"role": r, "content": c} for r, c in turns] + [{"role": "user", "content": text}]
    document = {"stream": stream, "model": model or MODEL[dialect], "messages": messages}
    if tools:
        document["tools"] = [{"type": "function", "function": {
            "name": "get_current_timestamp", "description": "Get the current Unix timestamp.",
            "parameters": {"type": "object", "properties": {}}}}]
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
