"""Names in the pages that must exist: keys and LULL_ variables (options.def), verbs of lullctl (its --help),
variables of Open WebUI and of model servers (the lists below), lull's own headers."""
import functools
import os
import re

from pages import SOURCE

# What Open WebUI 0.12.4 reads from its environment, of what the pages speak about (its own
# documentation, and its source).
WEBUI = set("""
    OLLAMA_BASE_URL OLLAMA_BASE_URLS OLLAMA_API_CONFIGS ENABLE_OLLAMA_API
    OPENAI_API_BASE_URL OPENAI_API_BASE_URLS OPENAI_API_KEY OPENAI_API_KEYS OPENAI_API_CONFIGS ENABLE_OPENAI_API
    ENABLE_PERSISTENT_CONFIG RESET_CONFIG_ON_START ENABLE_SIGNUP DEFAULT_USER_ROLE
    ENABLE_TITLE_GENERATION ENABLE_TAGS_GENERATION ENABLE_FOLLOW_UP_GENERATION ENABLE_SEARCH_QUERY_GENERATION
    ENABLE_RETRIEVAL_QUERY_GENERATION ENABLE_AUTOCOMPLETE_GENERATION AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH
    TASK_MODEL TASK_MODEL_EXTERNAL TASK_MODEL_PARAMS
    ENABLE_FORWARD_USER_INFO_HEADERS FORWARD_USER_INFO_HEADER_USER_ID FORWARD_SESSION_INFO_HEADER_CHAT_ID
    FORWARD_USER_INFO_HEADER_JWT_SECRET
""".split())
OTHERS = set("OLLAMA_HOST OLLAMA_NUM_PARALLEL OLLAMA_MAX_LOADED_MODELS TASK_API_URL".split())  # Ollama; contrib/compose
TEMPLATES = {"{{TASK}}", "{{USER_ID}}", "{{CHAT_ID}}",  # of Open WebUI's connection headers
             "{{CURRENT_TIME}}", "{{CURRENT_DATETIME}}"}  # of its prompt templates
PLATFORM = re.compile(r"LULL_(PORT(_\w+)?|SERVICE_\w+|\w+_PORT_\w+)$")  # container platforms set these
PLACEHOLDERS = {"LULL_SECTION_KEY", "LULL_SECTION_NAME_KEY", "LULL_"}
VARIABLE = re.compile(r"\b(?:ENABLE|OLLAMA|OPENAI|TASK|FORWARD|RESET|AUTOCOMPLETE)_[A-Z][A-Z_]*\b")
SECTIONS = {"SERVER": "SERVER", "CACHE": "CACHE", "TASKS": "TASKS", "UPSTREAM": "UPSTREAM"}
LULL_HEADERS = {"X-Lull-Task", "X-Lull-Error"}


@functools.lru_cache(None)
def options():
    """[(section, key)] of options.def."""
    with open(os.path.join(SOURCE, "include/lull/config/options.def"), encoding="utf-8") as f:
        found = re.findall(r'^OPTION\((\w+), "([a-z0-9_]+)"', f.read(), re.M)
    assert len(found) > 50, "options.def is not read any more"
    return found


@functools.lru_cache(None)
def later():
    with open(os.path.join(SOURCE, "include/lull/config/options.def"), encoding="utf-8") as f:
        return set(re.findall(r'^LATER\(\w+, "([a-z0-9_]+)"', f.read(), re.M))


def is_lull_variable(name):
    if name in PLACEHOLDERS or name == "LULL_UPSTREAM" or PLATFORM.match(name):
        return True
    for section, key in options():
        end = "_" + key.upper() + "(_FILE)?$"
        begin = {"SERVER": "LULL_SERVER", "CACHE": "LULL_CACHE", "TASKS": "LULL_TASKS",
                 "UPSTREAM": "LULL_UPSTREAM_[A-Z0-9_]+"}.get(section, "LULL_TASK_[A-Z0-9_]+")
        if section == "KIND":
            begin = "(LULL_TASKS|LULL_TASK_[A-Z0-9_]+)"
        if re.match(begin + end, name):
            return True
    return False


def check_line(page, line, text):
    out = []
    for name in re.findall(r"\bLULL_[A-Z0-9_]*", text):
        if not is_lull_variable(name):
            out.append((page.path, line, f"{name} is no variable of lull"))
    for name in VARIABLE.findall(re.sub(r"\bLULL_[A-Z0-9_]*", "", text)):
        if name not in WEBUI | OTHERS:
            out.append((page.path, line, f"{name} is not in the list of Open WebUI's variables"))
    for name in re.findall(r"\bX-Lull-[A-Za-z-]*[a-z]", text):
        if name not in LULL_HEADERS:
            out.append((page.path, line, f"{name} is no header of lull"))
    for name in re.findall(r"\{\{\w+\}\}", text):
        if name not in TEMPLATES:
            out.append((page.path, line, f"{name} is not in the list of Open WebUI's template variables"))
    return out


def check_code(page, line, text, verbs):
    """Text between backticks: `key = value` and `lullctl VERB`."""
    out = []
    keys = {k for _, k in options()}
    for key in re.findall(r"(?:^|\] )([a-z][a-z0-9_]*) = ", text):
        if key not in keys:
            out.append((page.path, line, f"`{text}`: {key} is no key of lull.conf"))
    for verb in re.findall(r"\blullctl (?:--\w+ )*([a-z]+)", text):
        if verbs is not None and verb not in verbs:
            out.append((page.path, line, f"`{text}`: lullctl has no verb {verb}"))
    return out


def check(pages, verbs):
    out = []
    for page in pages.values():
        for line, text in page.plain:
            out += check_line(page, line, text)
        for line, code in page.codes:
            out += check_code(page, line, code, verbs)
        for block in page.blocks:
            for i, text in enumerate(block.lines):
                out += check_line(page, block.line + i, text)
    return out
