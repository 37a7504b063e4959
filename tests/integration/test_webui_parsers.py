"""Open WebUI's parsers of answers beside lull's judgement of them, on generated contents.

What lull keeps, Open WebUI shows; what Open WebUI shows, lull does not call bad; what lull serves after
mending, Open WebUI reads. The one exception: what stands in a thought that never ends is no answer,
though Open WebUI would show it.

The models below do what utils/middleware.py (Python) and src/lib/apis/index.ts (JavaScript, run by
Node) of Open WebUI 0.11 do. A content is shown when the kind's value is found and of the type that
the rest of Open WebUI takes."""
import json
import os
import random
import re
import shutil
import subprocess
import unittest

CONTENTS = 24000
SEED = 20261128
TOOL = os.path.join(os.environ.get("LULL_BIN_DIR", "build"), "tests", "verdicts")

MEMBERS = {"title": "title", "tags": "tags", "follow_up": "follow_ups", "query": "queries",
           "image_prompt": "prompt", "autocomplete": "text", "emoji": None}
LISTS = ("tags", "follow_up", "query")
OPEN_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>", "<reason>": "</reason>",
             "<reasoning>": "</reasoning>", "<thought>": "</thought>", "<Thought>": "</Thought>",
             "<|begin_of_thought|>": "<|end_of_thought|>", "\u25c1think\u25b7": "\u25c1/think\u25b7",
             "[THINK]": "[/THINK]", "<seed:think>": "</seed:think>", "<|channel|>analysis<|message|>": "<|end|>",
             '<details type="reasoning"': "</details>"}

NODE = r"""
const rows = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const complete = (response) => {   // generateAutoCompletion
    try {
        const start = response.indexOf('{'), end = response.lastIndexOf('}');
        if (start !== -1 && end !== -1) {
            const parsed = JSON.parse(response.substring(start, end + 1));
            if (typeof parsed !== 'object' || parsed === null || typeof parsed.text !== 'string') return 'bad';
            return parsed.text.trim() !== '' ? 'good' : 'empty';   // AutoCompletion.js trims
        }
    } catch (e) { }
    return 'bad';                  // the raw content, if anything
};
const emoji = (response) => {      // generateEmoji
    const m = response.replace(/["']/g, '').match(/\p{Extended_Pictographic}/gu);
    if (!m) return ['bad', false];
    return ['good', [...response].some((c) => /\p{Extended_Pictographic}/u.test(c) && /\p{Emoji}/u.test(c))];
};
process.stdout.write(JSON.stringify(rows.map(([k, c, before]) =>
    k === 'emoji' ? [emoji(c)[0], emoji(before)[1]] : [complete(c), true])));
"""


def form(kind, value):
    if kind in LISTS:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            return "bad"
        return "good" if value else "empty"
    if not isinstance(value, str):
        return "bad"
    return "good" if value.strip("\ufeff" + "".join(map(chr, SPACES))) else "empty"


SPACES = [*range(9, 14), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def shown_by_backend(kind, content, thinking):
    if kind in ("title", "tags", "follow_up"):
        text = content or thinking
        piece = text[text.find("{"):text.rfind("}") + 1]
    else:
        start, end = content.rfind("{"), content.rfind("}") + 1
        if start == -1 or end == 0:
            return "bad"
        piece = content[start:end]
    try:
        return form(kind, json.loads(piece).get(MEMBERS[kind]))
    except Exception:
        return "bad"


OPENING = re.compile("|".join(map(re.escape, OPEN_TAGS)))


def unended_thought(text):
    """The offset of a reasoning block without an end; the length of the text if there is none."""
    at = 0
    while (tag := OPENING.search(text, at)) is not None:
        end = text.find(OPEN_TAGS[tag.group()], tag.start())
        if end == -1:
            return tag.start()
        at = end + len(OPEN_TAGS[tag.group()])
    return len(text)


def in_unended_thought(kind, content, thinking):
    if kind == "emoji":
        return False  # node_verdicts() looks only before such a thought
    text = content or (thinking if kind in ("title", "tags", "follow_up") else "")
    last = kind in ("query", "image_prompt")
    return (text.rfind("{") if last else text.find("{")) > unended_thought(text)


class Contents:
    """Odd contents of a kind: a good one, or pieces of good ones, with faults put in."""
    WORDS = ["Route trip", "Caf\u00e9", "It's", "a {b} c", "two\nlines", "tab\there", "\u2018q\u2019", "`x`", "",
             " ", "\u3000", "\u00a0", "\u65c5\u884c", "\U0001f600", "\\alpha", "a\\", "\"", "</b>", "<think>", "nul\x01",
             "\x7f", "\u2028", "\ufeff", "}", "{", "x" * 300]
    ESCAPES = ["\\n", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\udc00x", "\\u0000", "\\x41", "\\'", "\\a", "\\u12",
               "\\/", "\\\\", "\\\"", "\\u007b", "\\u3000"]
    VALUES = ["1", "-0", "01", "1.", ".5", "1e5", "1E+2", "1e", "-", "NaN", "Infinity", "-Infinity", "-NaN", "nan", "true",
              "false", "null", "nil", "True", "[]", "{}", "[1,]", "[,]", "{\"a\":1,}", "0x1", "1_0", "9" * 4300,
              "9" * 4301, "-" + "9" * 4300, "1." + "9" * 5000, "1e999", "[" * 200 + "]" * 200, "[" * 60000 + "]" * 60000,
              "{\"a\":" * 70 + "1" + "}" * 70, "\"\\ud800\"", "\"", "'a'", "\"a\" \"b\"", "[\"a\", 1]", "[\"a\"]", "[null]"]
    AROUND = ["", "", "", "Sure! ", "```json\n", "\n```", "{x} ", " {y}", "\u25c1think\u25b7", "<think>", "</think>", "<think>a {b}</think>",
              "<reasoning>hm", "<details type=\"reasoning\" done=\"true\">", "</details>", "\ufeff", "\x00", "\n\n", "}", "{",
              "{\"a\": 1}", "</thought>", "<Thought>", "\U0001f44d"]
    BLANKS = ["", " ", "\n", "\t", "\r\n", "\u00a0", "\v", "\ufeff", "/**/"]
    EMOJI = ["\U0001f600", "\u2764\ufe0f", "\u2605", "\u25c6", "1\ufe0f\u20e3", "\u00a9", "happy", ":)", "\U0001f1e9\U0001f1ea",
             "\u203c", "\u2388", "\U0001f9ff", "\U0001fae8", "<think>", "</think>", "\"", "\u3030", "\u0041", "\U0001f3fb"]

    def __init__(self, rng):
        self.rng = rng

    def string(self, word=None):
        r = self.rng
        if word is None:
            word = " ".join(r.choice(self.WORDS) for _ in range(r.randint(1, 2)))
        text = json.dumps(word, ensure_ascii=r.random() < .5) if r.random() < .7 else f'"{word}"'
        if r.random() < .3:
            at = r.randint(1, max(1, len(text) - 1))
            text = text[:at] + r.choice(self.ESCAPES) + text[at:]
        return text

    def value(self, kind):
        r = self.rng
        if r.random() < .15:
            return r.choice(self.VALUES[:-1] if r.random() < .95 else self.VALUES)
        if kind in LISTS:
            return "[" + ", ".join(self.string() for _ in range(r.randint(0, 3))) + "]"
        return self.string()

    def blank(self):
        return self.rng.choice(self.BLANKS) if self.rng.random() < .05 else " "

    def object(self, kind):
        r = self.rng
        name = json.dumps(MEMBERS[kind])
        if r.random() < .05:
            name = r.choice(["'title'", "title", '"ti\\u0074le"', '"Title"', '"text"', '""'])
        members = [f"{name}:{self.blank()}{self.value(kind)}"]
        while r.random() < .2:
            members.insert(r.randint(0, len(members)), f"{self.string()}: {r.choice(self.VALUES)}")
        if r.random() < .05:
            members.append(members[0])
        comma = ", " if r.random() < .95 else r.choice([" ", ",,", ";"])
        return "{" + self.blank() + comma.join(members) + self.blank() + "}"

    def mangled(self, text):
        r = self.rng
        for _ in range(r.choice([0, 0, 0, 0, 1, 1, 2])):
            at = r.randint(0, len(text))
            how = r.randint(0, 3)
            if how == 0:
                text = text[:at] + text[at + r.randint(1, 3):]
            elif how == 1:
                text = text[:at] + r.choice(['"', "{", "}", "\\", "\n", ",", "\x00", "'", "\x1f", ":"]) + text[at:]
            elif how == 2:
                text = text[:at]
            else:
                text = text[:at] + r.choice(self.AROUND) + text[at:]
        return text

    def one(self, kind):
        r = self.rng
        if kind == "emoji":
            return "".join(r.choice(self.EMOJI) for _ in range(r.randint(0, 3))), ""
        text = "".join(r.choice(self.AROUND) for _ in range(r.choice([0, 0, 0, 1, 2])))
        text += self.mangled(self.object(kind))
        if r.random() < .1:
            text += self.object(kind)
        text += "".join(r.choice(self.AROUND) for _ in range(r.choice([0, 0, 0, 1, 2])))
        text = text.replace("\x00", "")  # no content holds it: such an answer is odd
        roll = r.random()
        return ("", text) if roll < .05 else ("", "") if roll < .055 else (text, "{\"title\": \"no\"}" if roll < .06 else "")


def lulls_verdicts(rows):
    """[(verdict, mended, verdict then, content then)]"""
    records = []
    for kind, content, thinking in rows:
        c, t = content.encode(), thinking.encode()
        records.append(f"{kind} {len(c)} {len(t)}\n".encode() + c + t)
    out = subprocess.run([TOOL], input=b"".join(records), stdout=subprocess.PIPE, check=True).stdout
    found, at = [], 0
    for _ in rows:
        end = out.index(b"\n", at)
        before, mended, then, size = out[at:end].decode().split()
        found.append((before, mended == "1", then, out[end + 1:end + 1 + int(size)].decode()))
        at = end + 1 + int(size)
    assert at == len(out)
    return found


def node_verdicts(rows):
    rows = [(kind, content, content[:unended_thought(content)]) for kind, content, _ in rows]
    done = subprocess.run(["node", "-e", NODE], input=json.dumps(rows).encode(), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Parsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(SEED)
        contents = Contents(rng)
        kinds = [k for k in MEMBERS if k not in ("autocomplete", "emoji")]
        cls.backend, cls.browser = [], []
        for i in range(CONTENTS):
            kind = rng.choice(kinds)
            cls.backend.append((kind, *contents.one(kind)))
            if i % 3 == 0:
                kind = "emoji" if i % 9 == 0 else "autocomplete"
                cls.browser.append((kind, contents.one(kind)[0], ""))

    def compare(self, rows, models):
        """models(rows): [(verdict, whether lull must take a good one)]"""
        lull = lulls_verdicts(rows)
        theirs = models(rows)
        again = models([(k, then, t) for (k, _, t), (_, _, _, then) in zip(rows, lull)])
        wrong, counts = [], {}
        for row, (before, mended, then, text), (shown, must), (now, _) in zip(rows, lull, theirs, again):
            counts[(row[0], shown, before, mended)] = counts.get((row[0], shown, before, mended), 0) + 1
            what = f"{row[0]} {row[1][:300]!r} {row[2][:100]!r}: Open WebUI {shown}, lull {before}"
            if before != "bad" and before != shown:
                wrong.append(f"kept, not shown so: {what}")
            if before == "bad" and shown != "bad" and must and not in_unended_thought(*row):
                wrong.append(f"refused, though shown: {what}")
            if mended and (then == "bad" or now != then):
                wrong.append(f"mended to {text[:300]!r} ({now}): {what}")
            if not mended and text != row[1]:
                wrong.append(f"changed, not mended: {what}")
        self.assertEqual(wrong[:10], [], f"{len(wrong)} of {len(rows)}")
        return counts

    def test_the_backends_parser(self):
        counts = self.compare(self.backend, lambda rows: [(shown_by_backend(*r), True) for r in rows])
        for kind in ("title", "tags", "follow_up", "query", "image_prompt"):  # the test has all of them
            for shown, before, mended in (("good", "good", False), ("bad", "bad", True), ("bad", "bad", False)):
                self.assertGreater(counts.get((kind, shown, before, mended), 0), 50, (kind, shown, before, mended))

    def test_the_browsers_parser(self):
        if shutil.which("node") is None:
            if os.environ.get("CI"):
                self.fail("Node is missing: contrib/setup installs it")
            self.skipTest("no Node")
        counts = self.compare(self.browser, node_verdicts)
        for mended in (False, True):
            self.assertGreater(counts.get(("autocomplete", "bad", "bad", mended), 0), 50)
        self.assertGreater(counts.get(("autocomplete", "good", "good", False), 0), 500)
        self.assertGreater(counts.get(("emoji", "good", "good", False), 0), 100)


if __name__ == "__main__":
    unittest.main()
