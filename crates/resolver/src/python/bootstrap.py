"""The code that runs before a block's code: the channel, `secrets`, and the search for references.

Started as `python3 -I -c THIS CHANNEL`. The channel is a socket. A message on it is its length, in four
bytes, most significant first, and JSON. The first message is the block, the second its `document`.
"""


def bootstrap():
    import ast
    import base64
    import builtins
    import json
    import linecache
    import os
    import re
    import sys
    import threading
    import traceback
    import types
    import secrets as standard

    channel = int(sys.argv[1])
    sys.argv = [""]
    os.set_inheritable(channel, False)
    lock = threading.Lock()
    is_name = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}").fullmatch
    shared = frozenset(vars(standard))

    def read(count):
        parts = []
        while count:
            part = os.read(channel, min(count, 1 << 20))
            if not part:
                os._exit(1)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def receive():
        return json.loads(read(int.from_bytes(read(4), "big")))

    def encode(message):
        """Fails for what JSON cannot hold: NaN, infinity, and unpaired surrogates."""
        data = json.dumps(message, allow_nan=False, ensure_ascii=False).encode("utf-8")
        return len(data).to_bytes(4, "big") + data

    def send(message):
        write(encode(message))

    def write(data):
        data = memoryview(data)
        while data:
            data = data[os.write(channel, data):]

    # --- references -------------------------------------------------------------------------

    class Finder(ast.NodeVisitor):
        """Finds `secrets.NAME` in all its forms, and uses of `secrets` whose name is not in the code."""

        def __init__(self, lines):
            self.lines = lines
            self.modules = {"secrets"}
            self.found = []
            self.dynamic = []

        def line_column(self, node):
            before = self.lines[node.lineno - 1].encode("utf-8")[: node.col_offset]
            return [node.lineno, len(before.decode("utf-8", "replace")) + 1]

        def name(self, node, name):
            if name not in shared and is_name(name):
                self.found.append([name] + self.line_column(node))

        def hidden(self, node):
            self.dynamic.append(self.line_column(node))

        def is_module(self, node):
            return isinstance(node, ast.Name) and node.id in self.modules

        def visit_Import(self, node):
            for alias in node.names:
                if alias.name == "secrets" and alias.asname:
                    self.modules.add(alias.asname)

        def visit_ImportFrom(self, node):
            if node.module == "secrets" and not node.level:
                for alias in node.names:
                    self.name(node, alias.name)

        def aliases(self, tree):
            """Finds other names of the module. A function may use one before the code assigns it."""
            before = 0
            while before != len(self.modules):
                before = len(self.modules)
                for node in ast.walk(tree):
                    if isinstance(node, ast.Import):
                        self.visit_Import(node)
                    elif isinstance(node, ast.Assign) and self.is_module(node.value):
                        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                        self.modules.update(names)

        def visit_Assign(self, node):
            named = all(isinstance(target, ast.Name) for target in node.targets)
            if not (named and self.is_module(node.value)):
                self.generic_visit(node)

        def visit_Attribute(self, node):
            if not self.is_module(node.value):
                self.generic_visit(node)
            elif isinstance(node.ctx, ast.Load):
                self.name(node, node.attr)

        def key(self, node, key):
            key = key.value if type(key).__name__ == "Index" else key
            value = getattr(key, "value", getattr(key, "s", None))
            if type(key).__name__ in ("Constant", "Str") and isinstance(value, str):
                self.name(node, value)
            else:
                self.hidden(node)
                self.visit(key)

        def visit_Subscript(self, node):
            if self.is_module(node.value):
                self.key(node, node.slice)
            elif (
                isinstance(node.value, ast.Attribute)
                and node.value.attr == "modules"
                and isinstance(node.slice, ast.Constant)
                and node.slice.value == "secrets"
            ):
                self.hidden(node)
            else:
                self.generic_visit(node)

        def visit_Call(self, node):
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            args = node.args
            if called in ("getattr", "hasattr") and len(args) > 1 and self.is_module(args[0]):
                self.key(node, args[1])
                for arg in args[2:]:
                    self.visit(arg)
                return
            if called in ("__import__", "import_module") and args:
                if getattr(args[0], "value", None) == "secrets":
                    self.hidden(node)
            self.generic_visit(node)

        def visit_Name(self, node):
            if self.is_module(node) and isinstance(node.ctx, ast.Load):
                self.hidden(node)

    def analyse(code, filename):
        tree = ast.parse(code, filename)
        finder = Finder(code.splitlines() or [""])
        finder.aliases(tree)
        finder.visit(tree)
        return finder

    # --- the object -------------------------------------------------------------------------

    class Secret(str):
        """A value. It is ordinary text, except that `repr` does not show it."""

        __slots__ = ()

        def __repr__(self):
            return "<secret>"

        def __reduce__(self):
            # The reader does not have this class.
            return str, (str(self),)

        def __copy__(self):
            return self

        def __deepcopy__(self, memo):
            return self

    class SecretError(AttributeError, KeyError):
        """A secret that this block does not get."""

        def __init__(self, code, message):
            Exception.__init__(self, message)
            self.code = code

        def __str__(self):
            return self.args[0]

    values = {}
    refused = []

    def ask(name):
        with lock:
            if name not in values:
                send({"get": name})
                answer = receive()
                if "error" in answer:
                    refused.append(answer["error"])
                    raise SecretError(answer["error"], answer["message"])
                values[name] = Secret(base64.b64decode(answer["value"]).decode("utf-8"))
            return values[name]

    class Secrets(types.ModuleType):
        """The secrets of the workspace by name, and the standard module `secrets`."""

        def __getattr__(self, name):
            if not is_name(name):
                raise AttributeError("module 'secrets' has no attribute " + repr(name))
            return ask(name)

        def __getitem__(self, name):
            if not isinstance(name, str) or not is_name(name):
                raise KeyError(name)
            return ask(name)

        def __repr__(self):
            return "<module 'secrets' with the secrets of this block>"

    module = Secrets("secrets")
    vars(module).update(vars(standard))
    sys.modules["secrets"] = module

    # --- the run ----------------------------------------------------------------------------

    block = receive()
    try:
        document = receive()
    except (ValueError, RecursionError) as error:
        # For example, a number with more digits than this Python accepts.
        send({"document": str(error)})
        os._exit(0)
    code, filename = block["code"], "<block " + block["name"] + ">"
    linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
    try:
        found = analyse(code, filename)
        program = compile(code, filename, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        what = getattr(error, "msg", None) or str(error) or type(error).__name__
        what = what.encode("utf-8", "replace").decode("utf-8")
        place = [getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1]
        send({"syntax": [str(what)] + place})
        os._exit(0)
    send({"analysis": {"references": found.found, "dynamic": found.dynamic}})
    if not block["run"]:
        os._exit(0)

    scope = {
        "__name__": "__main__",
        "__builtins__": builtins,
        "secrets": module,
        "document": document,
    }

    def flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass

    def finish(message):
        flush()
        with lock:
            write(message)
        os._exit(0)

    def fail(code):
        finish(encode({"failed": code}))

    def failed(error):
        tail = error.__traceback__ and error.__traceback__.tb_next
        try:
            traceback.print_exception(type(error), error, tail)
        except BaseException:
            pass
        # `from secrets import NAME` raises an ImportError instead.
        imported = isinstance(error, ImportError) and error.name == "secrets" and refused
        if isinstance(error, SecretError):
            fail(error.code)
        fail(refused[-1] if imported else "")

    try:
        exec(program, scope)
    except SystemExit as error:
        if error.code not in (None, 0):
            if not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
            fail("")
    except BaseException as error:
        failed(error)
    try:
        message = encode({"result": scope.get("result")})
    except BaseException as error:
        print("the result cannot be written as JSON:", error, file=sys.stderr)
        fail("")
    finish(message)


bootstrap()
