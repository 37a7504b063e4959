#!/usr/bin/env python3
"""Words that a technical text does without: pronouns for a person, where an object acts, and old words for
what has a plain one. In comments and messages, in the documentation, in the names of tests and mutants."""
import ast
import io
import re
import tokenize

from common import files, line_of, read, run

NAME = "words"
WORDS = re.compile(r"\b(he|him|his|whoever|whomever|whosoever|nobody|somebody|anew|told|manners)\b", re.I)
C_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
C_STRING = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
FUNCTION = re.compile(r"\b(?:static void|def) (\w+)\(")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
PROSE = (".md", ".1", ".5", ".8", ".conf", ".yaml", ".def")
# another language, a copied text
SKIPPED = ("docs/es/", "contrib/packaging/deb/copyright")


def blanked(text, pattern):
    """The text with what the pattern finds blanked out; lines keep their numbers."""
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def c_texts(text, strings):
    """(position, text) of comments, and of strings."""
    for m in (C_STRING if strings else C_TEXT).finditer(text):
        yield m.start(), m.group(0)
    for m in FUNCTION.finditer(text):
        yield m.start(), m.group(1).replace("_", " ")


def python_texts(text):
    """(line, text) of comments, docstrings and names of functions."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""
            yield getattr(node, "lineno", 1), getattr(node, "name", "").replace("_", " ")
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "mutant":
            yield node.lineno, getattr(node.args[1], "value", "")


def check(root):
    out = []

    def look(path, line, text):
        for m in WORDS.finditer(text):
            out.append((path, line + text.count("\n", 0, m.start()), f'"{m.group(0)}": name the object that acts, or take a plainer word'))

    for path in files(root, ["."], (".c", ".h")):
        text = read(root, path)
        for position, piece in c_texts(text, strings=path.startswith(("sidecar/", "include/"))):
            look(path, line_of(text, position), piece)
    for path in files(root, ["."], (".py",)):
        for line, piece in python_texts(read(root, path)):
            look(path, line, piece)
    for path in files(root, ["."], PROSE):
        if not path.startswith(SKIPPED):
            look(path, 1, blanked(read(root, path), CODE))
    return out


if __name__ == "__main__":
    run(NAME, check)
