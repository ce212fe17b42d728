"""CDDL (RFC 8610), as far as schemas/*.cddl uses it: a strict reader and a validator.

Of the available packages, zcbor has no `.regexp`, and pycddl (on the Rust crate cddl) lets an empty map
`{}` match any map, matches `.regexp` unanchored and runs out of stack on generics: a test with them could
not fail where it must. pycddl still reads the schemas first, so that they are CDDL for others, too.
"""

import json
import re

TOKEN = re.compile(
    r'(?:\s|;[^\n]*)*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<tag>\#6\.\d+\()|(?P<dots>\.\.)|(?P<control>\.[a-z]+)'
    r"|(?P<arrow>=>)|(?P<number>-?\d+)|(?P<name>[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)|(?P<mark>[][{}()<>=/,:?*+]))"
)
PRELUDE = {"bool", "bstr", "int", "tstr", "uint"}


class Mismatch(Exception):
    """A value that does not follow a rule: where, why, and the innermost rule it breaks."""

    def __init__(self, path, why, rule, value):
        super().__init__(f"{'/'.join(map(str, path)) or '(top)'}: {why} [{rule}]")
        self.path, self.rule, self.value = path, rule, value


def canonical_key(text):
    encoded = text.encode()
    return (len(encoded), encoded)


class Reader:
    """Reads rules from text. Anything unknown is an error."""

    def __init__(self, text):
        self.tokens, at = [], 0
        text = re.sub(r";[^\n]*", "", text).rstrip() + "\n"
        while text[at:].strip():
            found = TOKEN.match(text, at)
            if not found:
                raise SyntaxError(f"not in this CDDL: {text[at:at + 40]!r}")
            self.tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        self.at = 0

    def peek(self, ahead=0):
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else (None, None)

    def take(self, value=None):
        kind, found = self.peek()
        if kind is None or (value is not None and found != value):
            raise SyntaxError(f"expected {value}, found {found} near {self.tokens[max(0, self.at - 5):self.at]}")
        self.at += 1
        return kind, found

    def accept(self, value):
        if self.peek()[1] == value and self.peek()[0] != "text":
            self.at += 1
            return True
        return False

    def rules(self):
        found = {}
        while self.peek()[0]:
            kind, name = self.take()
            if kind != "name" or name in PRELUDE or name in found:
                raise SyntaxError(f"{name} is not a new rule's name")
            params = []
            if self.accept("<"):
                params.append(self.take()[1])
                while self.accept(","):
                    params.append(self.take()[1])
                self.take(">")
            self.take("=")
            found[name] = (params, self.type())
        return found

    def type(self):
        choices = [self.type1()]
        while self.accept("/"):
            choices.append(self.type1())
        return choices[0] if len(choices) == 1 else ("choice", choices)

    def type1(self):
        left = self.type2()
        kind, value = self.peek()
        if kind == "dots":
            self.take()
            return ("range", left[1], self.type2()[1])
        if kind == "control":
            self.take()
            if value not in (".size", ".cbor", ".cborseq", ".regexp"):
                raise SyntaxError(f"unknown control {value}")
            return ("control", value, left, self.type2())
        return left

    def type2(self):
        kind, value = self.take()
        if kind == "number":
            return ("literal", int(value))
        if kind == "text":
            return ("literal", json.loads(value))
        if kind == "tag":
            inner = self.type()
            self.take(")")
            return ("tag", int(value[3:-1]), inner)
        if value == "(":
            inner = self.type()
            self.take(")")
            return inner
        if value == "{":
            return ("map", self.map_order(self.group("}")))
        if value == "[":
            return ("array", self.group("]"))
        if kind != "name":
            raise SyntaxError(f"no type starts with {value}")
        arguments = []
        if self.accept("<"):
            arguments.append(self.type())
            while self.accept(","):
                arguments.append(self.type())
            self.take(">")
        return ("name", value, arguments)

    def group(self, end):
        entries = []
        while not self.accept(end):
            entries.append(self.entry())
            if not self.accept(","):
                self.take(end)
                break
        return entries

    def entry(self):
        least, most = self.occurrence()
        key = None
        if self.peek()[0] in ("name", "text") and self.peek(1)[1] == ":":
            kind, key = self.take()
            key = json.loads(key) if kind == "text" else key
            self.take(":")
            return (least, most, key, self.type())
        found = self.type()
        if self.peek()[0] == "arrow":
            self.take()
            return (least, most, found[1], self.type())
        return (least, most, key, found)

    def occurrence(self):
        if self.accept("?"):
            return 0, 1
        if self.accept("+"):
            return 1, None
        if self.accept("*"):
            return 0, None
        if self.peek()[0] == "number" and self.peek(1)[1] == "*":
            least = int(self.take()[1])
            self.take("*")
            return least, int(self.take()[1])
        return 1, 1

    @staticmethod
    def map_order(entries):
        texts = [key for _, _, key, _ in entries if isinstance(key, str)]
        if texts != sorted(texts, key=canonical_key):
            raise SyntaxError(f"fields not in canonical order: {texts}")
        if any(key is None for _, _, key, _ in entries):
            raise SyntaxError("a map's entry without a key")
        return entries


class Schema:
    """Rules to check values against. `decode` makes a value of bytes that hold one item of CBOR, or raises
    ValueError; `decode_sequence` a list; `extra` holds further checks by rule."""

    def __init__(self, text, decode, decode_sequence, extra):
        self.rules = Reader(text).rules()
        self.decode, self.decode_sequence, self.extra = decode, decode_sequence, extra
        self.matched, self.chosen = set(), set()
        for params, body in self.rules.values():
            self.resolve(body, params)

    def resolve(self, node, params):
        if isinstance(node, (tuple, list)):
            if node and node[0] == "name" and node[1] not in PRELUDE | self.rules.keys() | set(params):
                raise SyntaxError(f"no rule {node[1]}")
            for part in node:
                self.resolve(part, params)

    def validate(self, rule, value):
        """Raises Mismatch unless the value follows the rule."""
        self.check(("name", rule, []), value, {}, [], rule)

    def unmatched(self, exempt):
        """Rules and choices that no value has followed so far."""
        rules = [rule for rule in self.rules if rule not in self.matched]
        choices = []
        for rule, (_, body) in self.rules.items():
            if rule not in exempt:
                choices += [f"{rule}: {choice}" for choice in self.choices(body) if (rule, repr(choice)) not in self.chosen]
        return rules + choices

    def choices(self, node):
        if isinstance(node, (tuple, list)):
            if node and node[0] == "choice":
                yield from node[1]
            for part in node:
                yield from self.choices(part)

    def check(self, node, value, names, path, rule):
        getattr(self, "check_" + node[0])(node, value, names, path, rule)

    def check_name(self, node, value, names, path, rule):
        name = node[1]
        if name in names:
            body, names = names[name]
            return self.check(body, value, names, path, rule)
        if name in PRELUDE:
            good = {
                "bool": isinstance(value, bool),
                "bstr": isinstance(value, bytes),
                "tstr": isinstance(value, str),
                "int": isinstance(value, int) and not isinstance(value, bool),
                "uint": isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            }[name]
            if not good:
                raise Mismatch(path, f"{value!r:.60} is no {name}", rule, value)
            return None
        params, body = self.rules[name]
        bound = {param: (argument, names) for param, argument in zip(params, node[2], strict=True)}
        self.check(body, value, bound, path, name)
        if name in self.extra and not self.extra[name](value):
            raise Mismatch(path, f"{value!r:.60} is refused", name, value)
        self.matched.add(name)
        return None

    def check_choice(self, node, value, names, path, rule):
        misses = []
        for choice in node[1]:
            try:
                self.check(choice, value, names, path, rule)
                self.chosen.add((rule, repr(choice)))
                return
            except Mismatch as miss:
                misses.append(miss)
        raise max(misses, key=lambda miss: len(miss.path))

    def check_literal(self, node, value, names, path, rule):
        if type(value) is not type(node[1]) or value != node[1]:
            raise Mismatch(path, f"{value!r:.60} is not {node[1]!r}", rule, value)

    def check_range(self, node, value, names, path, rule):
        if type(value) is not int or not node[1] <= value <= node[2]:
            raise Mismatch(path, f"{value!r:.60} is not in {node[1]}..{node[2]}", rule, value)

    def check_control(self, node, value, names, path, rule):
        _, control, target, argument = node
        self.check(target, value, names, path, rule)
        if control == ".size":
            if isinstance(value, int):
                good = value < 256 ** argument[1]
            else:
                size = len(value if isinstance(value, bytes) else value.encode())
                low, high = argument[1:] if argument[0] == "range" else (argument[1], argument[1])
                good = low <= size <= high
            if not good:
                raise Mismatch(path, f"{value!r:.60} has another size than {argument[1:]}", rule, value)
        elif control == ".regexp":
            if not re.fullmatch(argument[1], value, re.ASCII):
                raise Mismatch(path, f"{value!r:.60} does not match {argument[1]}", rule, value)
        else:
            try:
                inner = self.decode(value) if control == ".cbor" else self.decode_sequence(value)
            except ValueError as error:
                raise Mismatch(path, f"not CBOR: {error}", rule, value) from error
            self.check(argument, inner, names, [*path, "(cbor)"], rule)

    def check_tag(self, node, value, names, path, rule):
        if getattr(value, "tag", None) != node[1]:
            raise Mismatch(path, f"not tagged with {node[1]}", rule, value)
        self.check(node[2], value.value, names, path, rule)

    def check_map(self, node, value, names, path, rule):
        if not isinstance(value, dict):
            raise Mismatch(path, f"{value!r:.60} is no map", rule, value)
        entries = {key: (least, body) for least, _, key, body in node[1]}
        for key in value:
            if key not in entries:
                raise Mismatch(path, f"{key!r} does not belong here", rule, value)
        for key, (least, body) in entries.items():
            if key in value:
                self.check(body, value[key], names, [*path, key], rule)
            elif least:
                raise Mismatch(path, f"{key!r} is missing", rule, value)

    def check_array(self, node, value, names, path, rule):
        if not isinstance(value, list):
            raise Mismatch(path, f"{value!r:.60} is no array", rule, value)
        at = 0
        for least, most, _, body in node[1]:
            count = 0
            while at < len(value) and (most is None or count < most):
                self.check(body, value[at], names, [*path, at], rule)
                at, count = at + 1, count + 1
            if count < least:
                raise Mismatch(path, f"{count} items where {least} are needed", rule, value)
        if at < len(value):
            raise Mismatch(path, f"{len(value) - at} items too many", rule, value)
