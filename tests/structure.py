#!/usr/bin/python3
"""The rules of the house that a compiler does not hold. Without arguments: checks this checkout, prints one line a violation
(file:line: what; remedy) and ends with 1 when there is any. --self-test: plants violations in temporary trees and ends with 1
when one of them goes unseen, so that a rule that has stopped looking is noticed."""
import re
import sys
import tempfile
from pathlib import Path

# Who may include whom: a folder's own level or higher is out of reach, siblings are too.
LEVELS = [
    {"main"},
    {"handlers"},
    {"api"},
    {"openapi", "auth", "limit", "cache", "query", "upload", "audit", "events", "sql"},
    {"drivers"},
    {"base"},
]
LEVEL_OF = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}

# A library's header belongs to one folder, so that the library can be exchanged there.
OWNED = [
    (re.compile(r"^(libpq-fe|libpq-events|libpq/.*|pg_config.*)\.h$"), "drivers"),
    (re.compile(r"^hiredis/|^hiredis\.h$|^async\.h$"), "drivers"),
    (re.compile(r"^jwt\.h$"), "auth"),
    (re.compile(r"^pg_query"), "query"),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]')


def folder_of(path):
    """The folder of the house that a path (relative to the root) lies in; main.c is a folder of its own."""
    return "main" if path.parts == ("main.c",) else path.parts[0]


def house_files(root):
    files = [root / "main.c"] if (root / "main.c").is_file() else []
    for folder in sorted(LEVEL_OF):
        files += sorted((root / folder).rglob("*.[ch]"))
    return files


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_ours(root, folder, name):
    """What is wrong with #include "name" in `folder`; None: nothing."""
    target = name.split("/")[0]
    if "/" not in name or target not in LEVEL_OF or ".." in Path(name).parts:
        return f'"{name}" is not named from the root; write "folder/file.h"'
    if not (root / name).is_file():
        return f'"{name}" does not exist'
    if target == folder or LEVEL_OF[target] > LEVEL_OF[folder]:
        return None
    return f'{folder}/ may not include "{name}": includes point from main to base; move what is shared down, or hand it in from above'


def check_includes(root):
    for path in house_files(root):
        relative = path.relative_to(root)
        folder = folder_of(relative)
        for number, ours, name in includes(path):
            wrong = check_ours(root, folder, name) if ours else None
            for pattern, owner in OWNED:
                if pattern.search(name) and folder != owner:
                    wrong = f"<{name}> belongs to {owner}/ alone; ask {owner}/ for what is needed"
            if wrong:
                yield f"{relative}:{number}: {wrong}"


def names_source(root, mirrored):
    """limiter_local.c tests limiter.c: a second file where one would be too long."""
    stem = mirrored.stem
    while stem:
        if (root / mirrored.parts[0] / f"{stem}.c").is_file():
            return True
        stem = stem.rpartition("_")[0]
    return False


def check_unit_tests(root):
    unit = root / "tests/unit"
    for test in sorted(unit.rglob("*.c")):
        mirrored = test.relative_to(unit)
        if len(mirrored.parts) != 2 or not names_source(root, mirrored):
            yield f"{test.relative_to(root)}:1: there is no {mirrored} that it tests; name it after its source file"


def check_corpora(root):
    fuzz = root / "tests/fuzz"
    harnesses = {path.stem for path in fuzz.glob("*.c")} - {"replay"}
    corpora = {path.name: path for path in (fuzz / "corpus").iterdir() if path.is_dir()} if (fuzz / "corpus").is_dir() else {}
    for name in sorted(harnesses):
        if name not in corpora or not any(seed.is_file() for seed in corpora[name].iterdir()):
            yield f"tests/fuzz/{name}.c:1: tests/fuzz/corpus/{name}/ holds no seed; add one, a harness without seeds tests nothing"
        folder, _, noun = name.partition("_")
        if not (root / folder / f"{noun}.c").is_file():
            yield f"tests/fuzz/{name}.c:1: there is no {folder}/{noun}.c that it fuzzes; name it FOLDER_NAME.c"
    for name in sorted(corpora.keys() - harnesses):
        yield f"tests/fuzz/corpus/{name}:1: there is no tests/fuzz/{name}.c that reads it"


def check(root):
    return [*check_includes(root), *check_unit_tests(root), *check_corpora(root)]


# What each planted file must be told of; the tree without any of them must be clean.
CLEAN = {
    "main.c": '#include "handlers/a.h"\n#include "base/a.h"\n',
    "handlers/a.h": '#include "api/a.h"\n#include "query/a.h"\n',
    "api/a.h": '#include "auth/a.h"\n',
    "auth/a.h": '#include "drivers/a.h"\n#include <jwt.h>\n',
    "query/a.h": '#include "drivers/a.h"\n',
    "drivers/a.h": '#include "base/a.h"\n#include <libpq-fe.h>\n#include <hiredis/async.h>\n',
    "base/a.h": "#include <stdio.h>\n",
    "base/a.c": '#include "base/a.h"\n',
    "tests/unit/base/a.c": '#include "base/a.h"\n',
    "tests/fuzz/base_a.c": '#include "base/a.h"\n',
    "tests/fuzz/replay.c": "",
    "tests/fuzz/corpus/base_a/seed": "x",
}
PLANTED = {
    "base/b.c": ('#include "drivers/a.h"\n', "base/b.c:1: base/ may not include"),
    "drivers/b.c": ('\n#include "api/a.h"\n', "drivers/b.c:2: drivers/ may not include"),
    "auth/b.c": ('#include "query/a.h"\n', "auth/b.c:1: auth/ may not include"),
    "api/b.c": ('#  include "handlers/a.h"\n', "api/b.c:1: api/ may not include"),
    "query/b.c": ('#include "a.h"\n', 'query/b.c:1: "a.h" is not named from the root'),
    "query/c.c": ('#include "base/../drivers/a.h"\n', "query/c.c:1:"),
    "query/d.c": ("#include <libpq-fe.h>\n", "query/d.c:1: <libpq-fe.h> belongs to drivers/"),
    "limit/b.c": ("#include <hiredis/hiredis.h>\n", "limit/b.c:1: <hiredis/hiredis.h> belongs to drivers/"),
    "api/c.h": ("#include <jwt.h>\n", "api/c.h:1: <jwt.h> belongs to auth/"),
    "base/c.h": ('#include "base/none.h"\n', 'base/c.h:1: "base/none.h" does not exist'),
    "tests/unit/base/none.c": ("", "tests/unit/base/none.c:1: there is no base/none.c"),
    "tests/fuzz/base_b.c": ("", "tests/fuzz/base_b.c:1: tests/fuzz/corpus/base_b/ holds no seed"),
    "tests/fuzz/corpus/base_none/seed": ("x", "tests/fuzz/corpus/base_none:1: there is no tests/fuzz/base_none.c"),
}


def plant(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in CLEAN.items():
            plant(root, name, content)
        failures += [f"a clean tree is accused: {line}" for line in check(root)]
        for name, (content, expected) in PLANTED.items():
            path = plant(root, name, content)
            found = check(root)
            if not any(line.startswith(expected) for line in found):
                failures.append(f"{name}: no line begins with {expected!r}; found: {found}")
            path.unlink()
            if path.parts[-3] == "corpus":
                path.parent.rmdir()
    return failures


def main():
    if sys.argv[1:] not in ([], ["--self-test"]):
        sys.exit("usage: tests/structure.py [--self-test]")
    found = self_test() if sys.argv[1:] else check(Path(__file__).resolve().parent.parent)
    for line in found:
        print(line)
    print(f"structure{' (self-test)' if sys.argv[1:] else ''}: {len(found)} violations")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
