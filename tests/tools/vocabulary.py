"""Checks the words and the shape of the code: `vocabulary.py ROOT`, and `vocabulary.py --self-test`.

- One word for one thing: no type, function, module or file has a name that docs/glossary.md replaced.
- No source file has over 500 lines without its tests; the median is under 150. Modules are `foo.rs` beside `foo/`.
- Every type that docs/glossary.md names is declared somewhere, and every file that the guides name exists.

Prints each problem with its place, and then ends with 1.
"""

import re
import statistics
import sys
import tempfile
from pathlib import Path

# Words that may not occur in names, and their replacements.
PARTS = {
    "keeper": "eraser, erasure",
    "keepers": "replicas",
    "tend": "run_once, erase",
    "tending": "Eraser",
    "leftover": "orphan",
    "leftovers": "orphans",
    "glance": "stream_probe",
    "glances": "stream_probe",
    "surroundings": "Environment",
    "landed": "appended, committed",
    "landing": "append",
    "settle": "resolve",
    "settled": "resolved",
    "settling": "resolving",
    "unsettled": "UnknownAppend",
    "doubted": "in_doubt",
    "whereabouts": "ValueLocation",
    "wish": "FollowerRequest",
    "odd": "Anomaly",
    "patrol": "scrub",
    "steering": "environment_policy",
}
# The same for whole names. Most are common words that may occur in longer names.
NAMES = {
    "answering": "dispatch",
    "around": "environment, monitors",
    "found": "what was found: ParsedEntry, StoredValue, Interpreter, StreamState, Page",
    "job": "one word for a command on its way",
    "land": "append",
    "looking": "RevealRequest",
    "outcome": "CommandOutcome, AuditOutcome, RunResult",
    "place": "ObjectId, PublicOrigin, YamlContext, Site",
    "plan": "Batch",
    "planned": "Decided",
    "position": "TreeHead, LineColumn",
    "projected": "ProgressReader",
    "reach": "await_projection",
    "room": "MemoryPermit",
    "said": "logged, answered, acknowledged, reported; of a program: stderr",
    "seen": "trusted_checkpoint",
    "seenstore": "CheckpointStore",
    "shapes": "credential_scan",
    "told": "ProgressPublisher; logged, reported",
    "verdict": "Decision",
    "visit": "WorkspaceRequest",
    "words": "format",
    "written": "credential_patterns",
}
# These are replaced in the writer alone; a block and an import have a plan.
LEDGER_ONLY = {"job", "plan", "planned", "verdict"}
# Types, files and modules in that table: functions may have these names.
NOT_FUNCTIONS = {"around", "outcome", "plan", "projected", "shapes", "words", "written"}
# A type in that table: a file may hold `CommandOutcome`.
TYPES_ONLY = {"outcome"}
# A longer name is a sentence, like those of tests. Common words may occur in it.
SENTENCE = 4
COMMON = {"settle", "settled", "odd", "wish", "landed"}

# Phrases that may not occur in text for people, and their replacements.
PHRASES = {
    "come again": "retry, busy",
    "comes again": "retries",
    "hears too few": "has lost its quorum",
    "a value is due": "rotation is due",
    "is no duration": "is not a duration",
    "may not ask this": "may not read",
}

LINES, MEDIAN = 500, 150
SOURCES = ["crates", "tests"]
SUFFIXES = {".rs", ".py", ".mjs", ".sh"}
GUIDES = ["CONTRIBUTING.md", "docs/design.md", "docs/reveal.md"]
GLOSSARY = "docs/glossary.md"

DECLARED = re.compile(
    r"^\s*(?:export |pub(?:\([a-z: ]+\))? |default |async |const |unsafe |extern \"C\" )*"
    r"(struct|enum|trait|union|type|mod|fn|def|class|function)\s+([A-Za-z_]\w*)"
)
# Types declared by our own macros: `text_type!(`, and on separate lines their docs and the name.
BY_MACRO = re.compile(r"^\w+!\(\s*\n(?:\s*///.*\n)*\s*([A-Z]\w+),", re.M)
# Methods of other crates' traits keep the names that those gave them.
FOREIGN = re.compile(r"^\s*fn visit_(?:map|bytes|str|seq)\b")
# A path in a guide.
PATH = re.compile(r"`((?:crates|tests|docs|schemas)/[\w./*\-]+)`")
TYPES = {"struct", "enum", "trait", "union", "type", "class"}
FUNCTIONS = {"fn", "def", "function"}


def words(name):
    """The words of a name, in lower case: `UnknownAppend` and `unknown_append` have two."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word.lower() for word in re.split(r"[_\-.]+", spaced) if word]


def bad_word(name, kind="", crate="ledger"):
    """The replacement for a name, or None if it is allowed."""
    parts = words(name)
    whole = "".join(parts)
    if kind in FUNCTIONS and whole in NOT_FUNCTIONS or kind not in TYPES and whole in TYPES_ONLY:
        return None
    if crate != "ledger" and whole in LEDGER_ONLY:
        return None
    if instead := NAMES.get(whole):
        return f"{name}: write {instead}"
    for part in parts:
        if part in PARTS and not (part in COMMON and len(parts) > SENTENCE):
            return f"{name}: for {part} write {PARTS[part]}"
    return None


def sources(root):
    for top in SOURCES:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SUFFIXES and not {"node_modules", "target", "__pycache__"} & set(path.parts):
                yield path


def without_tests(text):
    """The lines of a Rust file before the module of its unit tests."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line == "#[cfg(test)]" and at + 1 < len(lines) and re.match(r"mod \w+ \{", lines[at + 1]):
            return at
    return len(lines)


def check(root):
    """The problems below a directory, a line each."""
    problems, sizes, types = [], [], set()
    for path in sources(root):
        shown = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        itself = path == Path(__file__).resolve()
        if path.name == "mod.rs":
            problems.append(f"{shown}: write {path.parent.name}.rs beside {path.parent.name}/")
        crate = shown.parts[1]
        if bad := bad_word(path.stem, crate=crate):
            problems.append(f"{shown}: the file {bad}")
        for number, line in enumerate(text.splitlines(), 1):
            if (found := DECLARED.match(line)) and not FOREIGN.match(line):
                kind, name = found.groups()
                if kind in TYPES:
                    types.add(name)
                if bad := bad_word(name, kind, crate):
                    problems.append(f"{shown}:{number}: {kind} {bad}")
            problems += [] if itself else phrases(shown, number, line)
        types |= set(BY_MACRO.findall(text))
        size = without_tests(text)
        if size > LINES:
            problems.append(f"{shown}: {size} lines without tests, {LINES} at most: cut it into parts")
        if path.suffix == ".rs" and "tests" not in shown.with_suffix("").parts:
            sizes.append(size)
    median = statistics.median(sizes or [0])
    if median >= MEDIAN:
        problems.append(f"the median file has {median} lines without tests; under {MEDIAN} is wanted")
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        if page.is_file() and page.name != Path(GLOSSARY).name:
            for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
                problems += phrases(page.relative_to(root), number, line)
    return problems + glossary(root, types) + guides(root)


def phrases(shown, number, line):
    found = [was for was in PHRASES if re.search(rf"\b{was}\b", line.lower())]
    return [f"{shown}:{number}: for {was!r} write {PHRASES[was]!r}" for was in found]


def glossary(root, types):
    """Types of the glossary that nothing declares. Its rows are `| term | `Type` | meaning |`."""
    page = root / GLOSSARY
    rows = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    problems = [] if rows else [f"{GLOSSARY} is not there"]
    for number, row in enumerate(rows, 1):
        cells = row.split("|")
        for name in re.findall(r"`(\w+)`", cells[2]) if len(cells) > 3 else []:
            if name not in types:
                problems.append(f"{GLOSSARY}:{number}: no type is called {name}")
    return problems


def guides(root):
    """Files that a guide names and that do not exist, and functions that the file of their row does not have.

    Such rows are `| … | `function`, `function` | `path` |`.
    """
    problems = []
    for guide in GUIDES:
        page = root / guide
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines() if page.is_file() else [], 1):
            for path in PATH.findall(line):
                if not any(root.glob(path.rstrip("/"))):
                    problems.append(f"{guide}:{number}: there is no {path}")
            cells = [cell.strip() for cell in line.split("|")]
            file = PATH.fullmatch(cells[-2]) if len(cells) > 4 else None
            if file and (root / file[1]).is_file():
                text = (root / file[1]).read_text(encoding="utf-8")
                for name in re.findall(r"`(\w+)`", cells[-3]):
                    if not re.search(rf"\b(?:fn|function) {name}\b", text):
                        problems.append(f"{guide}:{number}: {file[1]} has no function {name}")
    return problems


def self_test():
    """Each rule finds its violations, and nothing else."""
    broken = {
        "crates/a/src/keeper.rs": "the file keeper",
        "crates/a/src/b/mod.rs": "write b.rs beside b/",
        "crates/a/src/long.rs": "501 lines",
        "crates/a/src/names.rs": ["struct Place", "fn tend_all", "enum SeenStore", "mod written"],
        "tests/a.py": "def said",
        "docs/page.md": "'come again'",
        "CONTRIBUTING.md": "there is no crates/a/src/gone.rs",
        "docs/glossary.md": "no type is called Missing",
        "docs/reveal.md": "has no function gone",
    }
    texts = {
        "crates/a/src/long.rs": "\n" * 501,
        "crates/a/src/names.rs": "pub struct Place;\npub(crate) fn tend_all() {}\nenum SeenStore {}\nmod written;\n",
        "tests/a.py": "def said():\n    pass\n",
        "docs/page.md": "It is told to come again.\n",
        "CONTRIBUTING.md": "`crates/a/src/gone.rs` and `crates/a/src/*.rs`\n",
        "docs/glossary.md": "| x | `Missing` | y |\n| x | `SeenStore` | y |\n",
        "docs/reveal.md": "| 1 | x | `gone`, `tend_all` | `crates/a/src/names.rs` |\n",
    }
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name in broken:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(texts.get(name, ""), encoding="utf-8")
        problems = check(root)
        wanted = [(name, text) for name, texts in broken.items() for text in ([texts] if isinstance(texts, str) else texts)]
        for name, text in wanted:
            assert any(found.startswith(name) and text in found for found in problems), (name, text, problems)
        assert len(problems) == len(wanted), problems
        (root / "crates/a/src/names.rs").write_text("\n" * 100 + "#[cfg(test)]\nmod tests {\n" + "\n" * 900, encoding="utf-8")
        (root / "docs/glossary.md").write_text("no rows\n", encoding="utf-8")
        for number in range(9):
            (root / f"crates/a/src/file_{number}.rs").write_text("\n" * 150, encoding="utf-8")
        left = [found for found in check(root) if found.startswith(("crates/a/src/names", "docs/glossary", "the median"))]
        assert len(left) == 1 and left[0].startswith("the median file has 150"), left
    for name in ["not_found", "CommandOutcome", "what_was_settled_and_not_looked_at_is_not_shown", "replace", "extend"]:
        assert bad_word(name) is None, name


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    problems = check(Path(sys.argv[1]).resolve())
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(f"{len(problems)} names, phrases or files are not as docs/glossary.md and CONTRIBUTING.md want them")


if __name__ == "__main__":
    main()
