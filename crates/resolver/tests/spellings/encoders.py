"""Encodes texts with Python's own encoders.

Reads lines of JSON [text, [encoder, …]] and writes lines of JSON: the text after all encoders, or null
where one cannot take it. `--list` prints the encoders' names.
"""

import base64
import csv
import html
import io
import json
import shlex
import sys
import urllib.parse
from xml.sax import saxutils


def csv_field(text):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow([text])
    return out.getvalue()


def raw(text):
    return text.encode("utf-8", "surrogatepass")


def each(form):
    return lambda text: "".join(form(ord(char)) for char in text)


def each_unit(form):
    def encode(text):
        units = text.encode("utf-16-be", "surrogatepass")
        return "".join(form(units[at] << 8 | units[at + 1]) for at in range(0, len(units), 2))

    return encode


def each_byte(form):
    return lambda text: "".join(form(byte) for byte in raw(text))


FIRST = {
    "base64": lambda text: base64.b64encode(raw(text)).decode(),
    "base64-url": lambda text: base64.urlsafe_b64encode(raw(text)).decode().rstrip("="),
    "base64-lines": lambda text: base64.encodebytes(raw(text)).decode(),
    "base64-crlf": lambda text: base64.encodebytes(raw(text)).decode().replace("\n", "\r\n"),
    "hex": lambda text: raw(text).hex(),
    "hex-upper": lambda text: raw(text).hex().upper(),
    "hex-colons": lambda text: raw(text).hex(":"),
    "hex-blanks": lambda text: raw(text).hex(" "),
    "hex-lines": lambda text: "\n".join(
        raw(text)[at : at + 15].hex(":") + ":" for at in range(0, len(raw(text)), 15)
    ),
}

ANY = {
    "json": json.dumps,
    "json-utf8": lambda text: json.dumps(text, ensure_ascii=False),
    "json-slash": lambda text: json.dumps(text).replace("/", "\\/"),
    "json-html": lambda text: json.dumps(text)
    .replace("<", "\\u003c")
    .replace(">", "\\u003E")
    .replace("&", "\\u0026")
    .replace("=", "\\u003d")
    .replace("'", "\\u0027"),
    "json-every": each_unit(lambda unit: f"\\u{unit:04x}"),
    "json-every-upper": each_unit(lambda unit: f"\\u{unit:04X}"),
    "html": html.escape,
    "html-text": lambda text: html.escape(text, quote=False),
    "html-decimal": each(lambda code: f"&#{code};"),
    "html-zeros": each(lambda code: f"&#{code:05};"),
    "html-hex": each(lambda code: f"&#x{code:x};"),
    "html-php": lambda text: html.escape(text).replace("&#x27;", "&#039;"),
    "xml": lambda text: saxutils.quoteattr(text),
    "url": urllib.parse.quote,
    "url-all": lambda text: urllib.parse.quote(text, safe=""),
    "url-lower": lambda text: "".join(
        part if index == 0 else "%" + part[:2].lower() + part[2:]
        for index, part in enumerate(urllib.parse.quote(text).split("%"))
    ),
    "url-plus": urllib.parse.quote_plus,
    "url-every": each_byte(lambda byte: f"%{byte:02x}"),
    "shell": shlex.quote,
    "shell-ls": lambda text: "'" + text.replace("'", "'\\''").replace("\n", "'$'\\n''") + "'",
    "csv": csv_field,
    "sql": lambda text: "'" + text.replace("'", "''") + "'",
    "repr": repr,
    "ascii": ascii,
    "bytes-repr": lambda text: repr(raw(text)),
    "unicode-escape": lambda text: text.encode("unicode_escape").decode("latin-1"),
    "octal": each_byte(lambda byte: f"\\{byte:03o}"),
    "x-every": each_byte(lambda byte: f"\\x{byte:02x}"),
}


def encode(text, chain):
    for name in chain:
        text = (FIRST.get(name) or ANY[name])(text)
    return text


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(json.dumps([list(FIRST), list(ANY)]))
        sys.exit()
    for line in sys.stdin:
        text, chain = json.loads(line)
        try:
            encoded = encode(text, chain)
            raw(encoded).decode()
        except (UnicodeError, csv.Error):
            encoded = None
        print(json.dumps(encoded))
