#!/usr/bin/env python3
"""Every check must find what it is there for: each is given a small tree that is right, then the same
tree with one thing wrong."""
import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import banned
import comments
import common
import entries
import format as c_format
import libraries
import ranks
import scripts
import sizes
import spelling
import tables
import tidy
import words

GOOD = {
    "CMakeLists.txt": "lull_folder(base base)\nlull_folder(http http lull_base)\n"
                      "lull_folder(dialect path/dialect lull_base)\nlull_folder(store path/store lull_base)\n"
                      "lull_folder(control control lull_http)\nlull_folder(app app lull_control)\n",
    ".clang-format": "BasedOnStyle: LLVM\nIndentWidth: 4\nBreakBeforeBraces: Linux\n"
                     "AllowShortFunctionsOnASingleLine: None\n",
    "include/lull/base/buf.h": "/* buf.h: bytes. */\n\n/* Makes it empty. */\nvoid buf_init(void);\n"
                               "void buf_free(void);\n\nint buf_len(void); /* bytes */\n",
    "include/lull/config/kinds.def": '/* kinds.def */\nKIND(TITLE, "title", "title_generation")\n'
                                   'KIND(TAGS, "tags", "tags_generation")\n',
    "include/lull/config/outcomes.def": '/* outcomes.def */\nOUTCOME(HIT, "hits", true, "from the cache")\n',
    "include/lull/http/server.h": '/* server.h */\n#include "lull/base/buf.h"\n\n/* Serves. */\nvoid serve(void);\n',
    "include/lull/control/control.h": "/* control.h */\n\n/* Listens. */\nint control(void);\n",
    "sidecar/base/buf.c": '/* buf.c */\n#include "lull/base/buf.h"\n#include "base/priv.h"\n'
                          "#include <string.h>\n\nvoid buf_init(void)\n{\n    /* strcpy( in a comment */\n}\n",
    "sidecar/base/priv.h": "/* priv.h */\n",
    "sidecar/base/loop.c": "/* loop.c */\n#include <event2/event.h>\n",
    "sidecar/path/store/store.c": '/* store.c */\n#include "lull/base/buf.h"\n#include <lmdb.h>\n',
    "sidecar/control/options.def": '/* options.def */\nOPTION(server, "listen", LIST, "a")\n'
                                   'OPTION(server, "data_dir", TEXT, "b")\n',
    "sidecar/app/run.c": '/* run.c */\n#include "lull/control/control.h"\n',
    "conf/lull.conf": "[server]\n# listen = 1\n# data_dir = x\n[task title]\n[task tags]\n",
    "docs/figures.md": "`hits`: served from the cache\n",
}


class SelfTest(unittest.TestCase):
    def tree(self, changes=None):
        root = tempfile.mkdtemp(prefix="lint-")
        self.addCleanup(shutil.rmtree, root)
        for path, text in {**GOOD, **(changes or {})}.items():
            if text is None:
                continue
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        return root

    def findings(self, check, changes=None):
        try:
            found = check(self.tree(changes))
        except common.CannotRun as reason:
            self.skipTest(str(reason))
        return [f"{p}:{n}: {m}" for p, n, m in found]

    def finds(self, check, word, changes):
        found = self.findings(check, changes)
        self.assertTrue([f for f in found if word in f], f"{word!r} is not among {found}")

    def test_a_good_tree_passes_everything(self):
        for module in (ranks, libraries, banned, sizes, comments, words, entries, c_format, tables):
            with self.subTest(module.NAME):
                self.assertEqual(self.findings(module.check), [])

    def test_ranks(self):
        c = ranks.check
        up = '/* x */\n#include "lull/http/server.h"\n'
        self.finds(c, "base may not include http", {"sidecar/base/up.c": up})
        self.finds(c, "http may not include control", {"sidecar/http/s.c": '/* */\n#include "lull/control/control.h"\n'})
        self.finds(c, "ctl may not include path/dialect",
                   {"include/lull/path/dialect/answer.h": "/* */\n",
                    "sidecar/ctl/c.c": '/* */\n#include "lull/path/dialect/answer.h"\n'})
        self.finds(c, "path/store may not include path/upstream",
                   {"include/lull/path/upstream/t.h": "/* */\n",
                    "sidecar/path/store/s.c": '/* */\n#include "lull/path/upstream/t.h"\n'})
        self.finds(c, "private to base", {"sidecar/http/s.c": '/* */\n#include "base/priv.h"\n'})
        self.finds(c, "neither a contract", {"sidecar/base/u.c": '/* */\n#include "../http/x.h"\n'})
        self.finds(c, "with quotes", {"sidecar/base/u.c": "/* */\n#include <lull/base/buf.h>\n"})
        self.finds(c, "has no rank", {"sidecar/extra/e.c": "/* */\n"})
        self.finds(c, "in a ring", {"include/lull/base/up.h": up,
                                    "sidecar/http/s.c": '/* */\n#include "lull/base/buf.h"\n'})
        self.finds(c, "out of order", {"CMakeLists.txt": "lull_folder(http http)\nlull_folder(base base)\n"})
        self.finds(c, "may not be linked", {"CMakeLists.txt": "lull_folder(store path/store)\nlull_folder(upstream path/upstream lull_store)\n"})
        self.finds(c, "blind", {"CMakeLists.txt": "\n"})

    def test_libraries(self):
        c = libraries.check
        for header, word in (("event2/event.h", "libevent"), ("curl/curl.h", "libcurl"), ("lmdb.h", "LMDB"),
                             ("xxhash.h", "xxHash"), ("openssl/sha.h", "libcrypto"), ("cjson/cJSON.h", "cJSON")):
            self.finds(c, word, {"sidecar/http/s.c": f"/* */\n#include <{header}>\n"})
            self.finds(c, word, {"include/lull/http/x.h": f"/* */\n#include <{header}>\n"})
        self.finds(c, "one system's own", {"sidecar/http/s.c": "/* */\n#include <sys/prctl.h>\n"})
        for line in ("#ifdef __linux__", "#if defined(__APPLE__)", "int fd = accept4(0, 0, 0, 0);", "p = memrchr(q, 0, n);", "int f = SOCK_CLOEXEC;",
                     'const char *p = "/proc/self";'):
            self.finds(c, "not every system has", {"sidecar/http/s.c": f"/* */\n{line}\n"})
            self.assertEqual(self.findings(c, {"sidecar/base/os.c": f"/* */\n{line}\n"}), [])

    def test_banned(self):
        for name in ("sprintf", "strcpy", "strcat", "strtok", "atoi", "gets", "alloca"):
            self.finds(banned.check, f"{name} is banned", {"sidecar/base/b.c": f"/* */\nint f(void)\n{{ {name}(0); }}\n"})
        for mark in ("TO" + "DO", "FIX" + "ME", "X" + "XX"):
            self.finds(banned.check, mark, {"docs/a.md": f"a\n{mark}: later\n"})
            self.finds(banned.check, mark, {"sidecar/base/b.c": f"/* {mark} */\n"})
        for condition in ("buf_append(b) == 0", "n-- > 0", "(p = next)", "(e = f(b)) == 0"):
            self.finds(banned.check, "it may act", {"sidecar/base/b.c": f"/* */\nvoid f(void)\n{{ require({condition}); }}\n"})
        looks = "require(list_empty(&l) && n >= 0 && a != b); require_ok(buf_append(b));"
        for text in ("", "\n", "a\0"):
            self.finds(banned.check, "no text", {"default.profraw": text})
        self.assertEqual(self.findings(banned.check, {"sidecar/base/b.c": f"/* */\nvoid f(void)\n{{ {looks} }}\n"}), [])
        self.assertEqual(self.findings(banned.check, {"sidecar/base/b.c": '/* */\nconst char *s = "gets(";\nint snprintf(int);\n'}), [])

    def test_sizes(self):
        body = "    a++;\n"
        self.finds(sizes.check, "big() has 102 lines",
                   {"sidecar/base/b.c": "/* */\nint big(int a)\n{\n" + body * 98 + "    return a;\n}\n"})
        self.finds(sizes.check, "warning: some() has 71 lines",
                   {"sidecar/base/b.c": "/* */\nint some(int a)\n{\n" + body * 67 + "    return a;\n}\n"})
        self.finds(sizes.check, "the file has 801 lines", {"sidecar/base/b.c": "/* */\n" + "int a;\n" * 800})
        self.finds(sizes.check, "warning: the file has 501", {"sidecar/base/b.c": "/* */\n" + "int a;\n" * 500})

    def test_comments(self):
        c = comments.check
        self.finds(c, "does not open with a comment", {"sidecar/base/b.c": "int a;\n"})
        self.finds(c, "naked() has no comment", {"include/lull/base/x.h": "/* x.h */\n\nint naked(int a,\n          int b);\n"})
        self.finds(c, "second() has no comment",
                   {"include/lull/base/x.h": "/* x.h */\n\n/* One. */\nint first(void);\n\nint second(void);\n"})
        self.finds(c, "guarded() has no comment",
                   {"include/lull/base/x.h": "/* x.h */\n#ifndef X\n#define X\nint guarded(void);\n#endif\n"})
        self.assertEqual(self.findings(c, {"include/lull/base/x.h":
                         "/* x.h */\n\nstruct s {\n    void (*fn)(void *ctx);\n};\ntypedef void (*f)(int a);\n"}), [])

    def test_format(self):
        self.finds(c_format.check, "b.c:2", {"sidecar/base/b.c": "/* */\nint   a;\n"})

    def test_tidy(self):
        tree = self.tree({".clang-tidy": "Checks: '-*,bugprone-*'\nWarningsAsErrors: '*'\n",
                          "sidecar/base/b.c": "/* */\nint f(int a);\nint f(int a)\n{\n    if (a > 0) {\n        a = 1;\n"
                                              "    } else {\n        a = 1;\n    }\n    return a;\n}\n"})
        unit = os.path.join(tree, "sidecar/base/b.c")
        os.environ["LULL_BUILD"] = tree
        try:
            with self.assertRaises(common.CannotRun):
                tidy.check(tree)
            with open(os.path.join(tree, "compile_commands.json"), "w", encoding="utf-8") as f:
                json.dump([{"directory": tree, "command": f"cc -c {unit}", "file": unit}], f)
            found = [m for p, _, m in tidy.check(tree) if p == "sidecar/base/b.c"]
        except common.CannotRun as reason:
            self.skipTest(str(reason))
        finally:
            del os.environ["LULL_BUILD"]
        self.assertTrue([m for m in found if "bugprone-branch-clone" in m], found)

    def test_scripts(self):
        if shutil.which("shellcheck"):
            self.finds(scripts.check, "SC2068", {"contrib/a.sh": "#!/bin/bash\nls $@\n"})
        if shutil.which("ruff"):
            self.finds(scripts.check, "F821", {"tests/a.py": "print(undefined_name)\n"})

    def test_spelling(self):
        if shutil.which("codespell"):
            self.finds(spelling.check, "recieve ==> receive", {"sidecar/base/buf.c": "/* buf.c: recieve */\n"})

    def test_words(self):
        c = words.check
        self.finds(c, "b.c:2", {"sidecar/base/b.c": "/* b.c\n * whoever calls\n */\n"})
        self.finds(c, "b.c:2", {"sidecar/base/b.c": '/* b.c */\nconst char *s = "asked anew";\n'})
        self.finds(c, "t.c:2", {"tests/unit/base/t.c": "/* t.c */\nstatic void it_harms_nobody(void **state)\n"})
        self.finds(c, "t.py:1", {"tests/t.py": "# somebody types\n"})
        self.finds(c, "t.py:2", {"tests/t.py": "x = 1\ndef test_it_is_told():\n    pass\n"})
        self.finds(c, "r.py:1", {"tests/r.py": 'mutant(R, "nobody waits", F, "a", "b", T)\n'})
        self.finds(c, "x.md:3", {"docs/x.md": "# x\n\nlull and his cache\n"})
        self.assertEqual(self.findings(c, {"docs/x.md": "`he`\n\n```\nnobody\n```\n",
                                           "tests/unit/base/t.c": '/* */\nconst char *s = "He said";\n',
                                           "tests/t.py": 's = "he"\n'}), [])

    def test_entries(self):
        c = entries.check
        self.finds(c, "x.md:5", {"docs/x.md": "# x\n\n- one\n  more\n- one more\n"})
        self.assertEqual(self.findings(c, {"docs/x.md": "- one\n  more\n- one\n\n  less\n", "docs/y.md": "- one\n"}), [])

    def test_tables(self):
        c = tables.check
        self.finds(c, "does not speak of tags", {"conf/lull.conf": "# listen = 1\n# data_dir = 2\n[task title]\n"})
        self.finds(c, "does not speak of hits", {"docs/figures.md": "`misses`\n"})
        self.finds(c, "does not have the key data_dir", {"conf/lull.conf": "# listen = 1\ntitle tags\n"})
        self.finds(c, "is missing", {"conf/lull.conf": None})


if __name__ == "__main__":
    unittest.main(verbosity=2)
