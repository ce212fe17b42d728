#!/usr/bin/env python3
"""Check schemas/vectors with other libraries than the ledger's own, and against schemas/*.cddl.

    check_vectors.py SCHEMAS [DOCUMENT…]

cbor2 for CBOR, cryptography for Ed25519, X25519 and HMAC, PyNaCl for XChaCha20-Poly1305; COSE (RFC 9052) and
HPKE (RFC 9180) are put together here from those, since pycose 1.1 knows neither the algorithm Ed25519 (-19) nor
HPKE. Every block marked `hex` in a DOCUMENT must be found in a vector. Prints what was checked, or the first thing
that is wrong, and then exits 1.
"""

import base64
import hashlib
import hmac
import io
import json
import keyword
import re
import sys
from pathlib import Path

import cbor2
import pycddl
from cddl import Mismatch, Schema
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

PERIOD_MS = 24 * 60 * 60 * 1000
DEPTH, ITEMS = 16, 10_000
TEXTS = {"secret-name", "workspace-name", "glob", "host", "label", "free-text"}
PYTHON_SECRETS = {
    "choice", "randbelow", "randbits", "SystemRandom", "token_bytes", "token_hex", "token_urlsafe",
    "compare_digest", "DEFAULT_ENTROPY", "base64", "binascii",
}
# Ed25519: the group order, and the encodings of the points of small order.
L = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = {
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    )
}


class Refused(Exception):
    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code = code


def must(good, what):
    if not good:
        raise AssertionError(what)


# --- CBOR (RFC 8949 §4.2.1) ---------------------------------------------------------------------


def encode(value):
    return cbor2.dumps(value, canonical=True)


def plain(value, depth=0):
    """Whether a value holds only what keyroll's forms do, within the limits."""
    if depth > DEPTH:
        return False
    if isinstance(value, dict):
        good = all(isinstance(key, (str, int)) and not isinstance(key, bool) for key in value)
        return good and len(value) <= ITEMS and all(plain(part, depth + 1) for part in value.values())
    if isinstance(value, list):
        return len(value) <= ITEMS and all(plain(part, depth + 1) for part in value)
    if type(value) is int:
        return -(2**64) <= value < 2**64
    return type(value) in (bytes, str, bool)


def decode(data):
    """One item in its one encoding; the COSE_Sign1 tag is the only one that is let through."""
    try:
        value = cbor2.loads(data)
        again = encode(value)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    inner = value.value if isinstance(value, cbor2.CBORTag) and value.tag == 18 else value
    if again != data or not plain(inner):
        raise ValueError("not the one encoding of this")
    return value


def decode_sequence(data):
    stream, items = io.BytesIO(data), []
    decoder = cbor2.CBORDecoder(stream)
    while sum(len(encode(item)) for item in items) < len(data):
        items.append(decoder.decode())
    must(b"".join(map(encode, items)) == data, "a sequence of canonical items")
    return items


def secret_name(name):
    return not keyword.iskeyword(name) and name not in PYTHON_SECRETS


def label(text):
    return text.strip() == text and text.isprintable()


def same(value, reading):
    """Whether a JSON reading says what the CBOR does."""
    if isinstance(value, dict):
        same_keys = isinstance(reading, dict) and list(value) == list(reading)
        return same_keys and all(same(part, reading[key]) for key, part in value.items())
    if isinstance(value, list):
        same_length = isinstance(reading, list) and len(value) == len(reading)
        return same_length and all(map(same, value, reading))
    if isinstance(value, bytes):
        key = "ed25519:" + base64.urlsafe_b64encode(value).decode().rstrip("=")
        return reading in (value.hex(), key, base64.b64encode(value).decode())
    return type(value) is type(reading) and value == reading


# --- COSE_Sign1 (RFC 9052) ----------------------------------------------------------------------


def verify(key, signature, signed):
    if int.from_bytes(signature[32:], "little") >= L or key in SMALL_ORDER or signature[:32] in SMALL_ORDER:
        raise Refused("bad_signature", "not strict")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        raise Refused("bad_signature", "does not verify") from error


def open_signed(schema, rule, data):
    """Signer and payload of a signed form, whose signature holds."""
    form = rule.removeprefix("signed-")
    if data[:1] != b"\xd2":
        raise Refused("malformed", "no COSE_Sign1 tag")
    try:
        protected, unprotected, payload, signature = decode(data).value
        header, inner = decode(protected), decode(payload)
    except (ValueError, TypeError) as error:
        raise Refused("malformed", str(error)) from error
    kid = header.get(4) if isinstance(header, dict) else None
    if header != {1: -19, 4: kid, 16: f"application/vnd.keyroll.{form}"} or unprotected != {}:
        raise Refused("malformed", "another header")
    if not isinstance(kid, bytes) or len(kid) != 32 or len(signature) != 64:
        raise Refused("malformed", "another length of key or signature")
    if isinstance(inner, dict) and inner.get("v", 1) != 1:
        raise Refused("upgrade_needed", "another version")
    check(schema, form, inner)
    aad = f"keyroll/{form}/v1".encode()
    verify(kid, signature, encode(["Signature1", protected, aad, payload]))
    if "delegation" in inner:
        signer, delegation = open_signed(schema, "signed-delegation", inner["delegation"])
        if signer != delegation["identity"] or delegation["key"] != kid:
            raise Refused("bad_signature", "a delegation for another key or by another")
    return kid, inner


def check(schema, rule, value):
    try:
        schema.validate(rule, value)
    except Mismatch as miss:
        # Where text stands, a rule of names is broken; anything else is another form.
        broken = value
        for step in miss.path:
            broken = decode(broken) if step == "(cbor)" else broken[step]
        code = "invalid_name" if miss.rule in TEXTS and isinstance(broken, str) else "malformed"
        raise Refused(code, str(miss)) from miss


def actor_of(kid, command):
    return decode(decode(command["delegation"]).value[2])["identity"] if "delegation" in command else kid


# --- Merkle trees (RFC 6962, RFC 9162) and their texts (C2SP) -----------------------------------


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count):
    return 1 << (count - 1).bit_length() - 1


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = split(len(leaves))
    return node(root(leaves[:k]), root(leaves[k:]))


def path(index, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path(index, leaves[:k]), root(leaves[k:])]
    return [*path(index - k, leaves[k:]), root(leaves[:k])]


def consistency(old, leaves, whole=True):
    if old in (0, len(leaves)):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*consistency(old, leaves[:k], whole), root(leaves[k:])]
    return [*consistency(old - k, leaves[k:], False), root(leaves[:k])]


def includes(leaf, index, size, proof, expected):
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for part in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node(part, found)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == expected


def extends(old, old_root, size, size_root, proof):
    """RFC 9162 §2.1.4.2, with the cases it leaves open: see docs/protocol.md."""
    if old > size:
        return False
    if old in (0, size):
        empty = old != 0 or old_root == root([])
        return not proof and empty and (old == 0 or old_root == size_root)
    proof = [old_root, *proof] if old & (old - 1) == 0 else proof
    if not proof:
        return False
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for part in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(part, fr), node(part, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, part)
        fn, sn = fn >> 1, sn >> 1
    return fr == old_root and sr == size_root and sn == 0


def read_vkey(text):
    name, key_id, rest = text.split("+", 2)
    rest = base64.b64decode(rest, validate=True)
    must(rest[0] == 1, "an Ed25519 key")
    digest = hashlib.sha256(name.encode() + b"\n" + rest).digest()
    must(digest[:4].hex() == key_id, "the key's id")
    return name, rest[1:], digest[:4]


def read_checkpoint(text, vkey):
    """Size and root of a checkpoint, whose signature holds."""
    name, key, key_id = read_vkey(vkey)
    found = re.fullmatch(r"((.+)\n(0|[1-9]\d*)\n(\S{44})\n)\n((?:\u2014 \S+ \S+\n)+)", text)
    must(found, "the form of a checkpoint")
    body, origin, size, tree_root, lines = found.groups()
    must(origin == name, "the origin")
    signed = False
    for line in lines.splitlines():
        _, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if signer == name and signature[:4] == key_id:
            verify(key, signature[4:], body.encode())
            signed = True
    must(signed, "a signature by the key")
    return int(size), base64.b64decode(tree_root, validate=True)


def read_tlog_proof(text, leaf, vkey):
    """Index and extra data of a proof that holds."""
    head, note = text.split("\n\n", 1)
    mark, *lines = head.split("\n")
    must(mark == "c2sp.org/tlog-proof@v1", "the mark")
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else b""
    index = re.fullmatch(r"index (0|[1-9]\d*)", lines.pop(0))
    must(index, "an index")
    size, expected = read_checkpoint(note, vkey)
    proof = [base64.b64decode(line, validate=True) for line in lines]
    must(includes(leaf, int(index[1]), size, proof, expected), "the leaf under the root")
    return int(index[1]), extra


# --- Values, keys and sessions ------------------------------------------------------------------


def extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk, info, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([count]), "sha256")
        out, count = out + block, count + 1
    return out[:length]


def hkdf(key, info, length):
    return expand(extract(b"", key), info, length)


def seal(key, nonce, text, aad):
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(text, aad, nonce, key)


def unseal(key, data, aad):
    return crypto_aead_xchacha20poly1305_ietf_decrypt(data[24:], aad, data[:24], key)


def seal_value(data_key, nonce, value, aad):
    keys = hkdf(data_key, b"keyroll/value/v1", 64)
    bucket = next(size for size in (256, 1024, 4096, 16384, 65536) if len(value) < size)
    padded = (value + b"\x80").ljust(bucket, b"\x00")
    return b"\x01" + keys[32:] + seal(keys[:32], nonce, padded, aad)


def open_value(data_key, sealed, aad):
    keys = hkdf(data_key, b"keyroll/value/v1", 64)
    must(sealed[0] == 1 and sealed[1:33] == keys[32:], "form and commitment")
    padded = unseal(keys[:32], sealed[33:], aad).rstrip(b"\x00")
    must(padded[-1:] == b"\x80", "the padding")
    return padded[:-1]


class Session:
    """HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305; exports only."""

    KEM = b"KEM\x00\x20"
    SUITE = b"HPKE\x00\x20\x00\x01\x00\x03"

    def __init__(self, shared, kem_context, info):
        prk = self.labeled_extract(self.KEM, b"", b"eae_prk", shared)
        secret = self.labeled_expand(self.KEM, prk, b"shared_secret", kem_context, 32)
        psk_id_hash = self.labeled_extract(self.SUITE, b"", b"psk_id_hash", b"")
        info_hash = self.labeled_extract(self.SUITE, b"", b"info_hash", info)
        secret = self.labeled_extract(self.SUITE, secret, b"secret", b"")
        self.exporter = self.labeled_expand(self.SUITE, secret, b"exp", b"\x00" + psk_id_hash + info_hash, 32)

    @staticmethod
    def labeled_extract(suite, salt, name, ikm):
        return extract(salt, b"HPKE-v1" + suite + name + ikm)

    @staticmethod
    def labeled_expand(suite, prk, name, info, length):
        return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + name + info, length)

    @classmethod
    def client(cls, ikm, public, info):
        """The actor's end from keying material of the ephemeral key (§7.1.3), and `enc`."""
        prk = cls.labeled_extract(cls.KEM, b"", b"dkp_prk", ikm)
        ephemeral = X25519PrivateKey.from_private_bytes(cls.labeled_expand(cls.KEM, prk, b"sk", b"", 32))
        enc = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        return cls(shared, enc + public, info), enc

    @classmethod
    def ledger(cls, private, enc, info):
        private = X25519PrivateKey.from_private_bytes(private)
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(private.exchange(X25519PublicKey.from_public_bytes(enc)), enc + public, info), public

    def item(self, direction, command, item):
        """Key and associated data of one data key's journey."""
        name = f"keyroll/{direction}/v1"
        context = encode([name, [command, item]])
        secret = self.labeled_expand(self.SUITE, self.exporter, b"sec", name.encode(), 32)
        return hkdf(secret, context, 32), context


# --- The files ----------------------------------------------------------------------------------


class Checker:
    def __init__(self, directory):
        texts = [file.read_text() for file in sorted(directory.glob("*.cddl"))]
        must(texts, f"schemas in {directory}")
        pycddl.Schema("keyroll-start = bundle\n" + "".join(texts))
        extra = {"secret-name": secret_name, "label": label}
        self.schema = Schema("".join(texts), decode, decode_sequence, extra)
        files = sorted((directory / "vectors").glob("*.json"))
        self.texts = [file.read_text() for file in files]
        self.documents = {file.stem: json.loads(text) for file, text in zip(files, self.texts, strict=True)}
        self.count = 0

    def one(self, name):
        self.count += 1
        return name

    def keys(self):
        for key in self.documents["keys"]["keys"]:
            name = self.one(key["name"])
            public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"])).public_key()
            public = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            must(public.hex() == key["public"] and same(public, key["text"]), f"key {name}")
        self.ledger, self.online, self.alice = (
            bytes.fromhex(key["public"]) for key in self.documents["keys"]["keys"][:3]
        )

    def forms(self):
        for file, document in self.documents.items():
            for form in document.get("forms", []) + document.get("entries", []):
                if "code" not in form:
                    try:
                        self.form(form)
                    except (Refused, Mismatch, ValueError, AssertionError) as error:
                        raise AssertionError(f"{file}.json: {form['name']}: {error}") from error

    def form(self, form):
        name, rule, data = self.one(form["name"]), form["rule"], bytes.fromhex(form["bytes"])
        value = decode(data)
        self.schema.validate(rule, value)
        if rule.startswith("signed-"):
            signer, value = open_signed(self.schema, rule, data)
            must(same(signer, form["signer"]), f"{name}: signer")
            must(form["external_aad"] == f"keyroll/{rule.removeprefix('signed-')}/v1", f"{name}: external_aad")
            must(encode(value).hex() == form["payload"], f"{name}: payload")
            rule = rule.removeprefix("signed-")
        must(same(value, form["json"]), f"{name}: JSON reading")
        self.deviations(name, rule, value)

    def deviations(self, name, rule, value):
        """The schema must refuse a field too many anywhere, and a leaf of another type."""
        for deviant in deviants(value):
            try:
                self.schema.validate(rule, deviant)
            except Mismatch:
                continue
            raise AssertionError(f"{name}: the schema lets this pass: {deviant!r:.300}")

    def refusals(self):
        for form in self.documents["refused"]["forms"]:
            name, rule, data = self.one(form["name"]), form["rule"], bytes.fromhex(form["bytes"])
            try:
                self.accept(rule, data)
            except Refused as refused:
                must(refused.code == form["code"], f"refused.json: {name}: {refused}, expected {form['code']}")
            else:
                raise AssertionError(f"refused.json: {name} was accepted")
        for proof in self.documents["refused"]["proofs"]:
            must(not self.proves(proof), f"refused.json: {self.one(proof['name'])} was accepted")

    def accept(self, rule, data):
        if not rule.startswith("signed-"):
            try:
                value = decode(data)
            except ValueError as error:
                raise Refused("malformed", str(error)) from error
            return check(self.schema, rule, value)
        signer, _ = open_signed(self.schema, rule, data)
        expected = {"signed-ledger-key": self.ledger, "signed-sealing-key": self.online}.get(rule, signer)
        if signer != expected:
            raise Refused("wrong_ledger", "signed by another key")
        return None

    def proves(self, proof):
        raw = {key: bytes.fromhex(proof[key]) for key in ("leaf", "root", "old", "new") if key in proof}
        hashes = [bytes.fromhex(part) for part in proof.get("proof", [])]
        vkey = self.documents["tree"]["vkey"]
        try:
            if proof["kind"] == "inclusion":
                return includes(raw["leaf"], proof["index"], proof["size"], hashes, raw["root"])
            if proof["kind"] == "consistency":
                return extends(proof["from"], raw["old"], proof["to"], raw["new"], hashes)
            if proof["kind"] == "checkpoint":
                read_checkpoint(proof["text"], vkey)
            else:
                read_tlog_proof(proof["text"], raw["leaf"], vkey)
        except (AssertionError, Refused):
            return False
        return True

    def log(self):
        document = self.documents["log"]
        entries = [bytes.fromhex(entry["bytes"]) for entry in document["entries"]]
        self.leaves = [leaf_hash(entry) for entry in entries]
        for entry, data, leaf in zip(document["entries"], entries, self.leaves, strict=True):
            value = decode(data)
            must(leaf.hex() == entry["leaf"], f"{entry['name']}: leaf")
            must([next(iter(event)) for event in value["events"]] == entry["events"], f"{entry['name']}: events")
            kid, command = open_signed(self.schema, "signed-command", value["command"])
            must(same(actor_of(kid, command), entry["actor"]), f"{entry['name']}: actor")
            self.stored(entry["name"], actor_of(kid, command), command, value["events"])
        self.chain([bytes.fromhex(form["bytes"]) for form in document["forms"]], entries)

    def stored(self, name, actor, command, events):
        """The place of a stored value follows from the command."""
        fields = next(iter(command["action"].values()))
        values = fields.get("secrets") if "secrets" in fields else [fields.get("secret", fields.get("edit", fields))]
        for event in events:
            for kind, said in event.items():
                if kind in ("secret.created", "secret.edited"):
                    expected = place(actor, command["id"], said["item"], values[said["item"]]["digest"])
                    must(said["place"] == expected, f"{name}: place")

    def chain(self, commits, entries):
        size = 0
        for data in commits:
            signer, commit = open_signed(self.schema, "signed-commit", data)
            must(signer == self.online and commit["first"] == size, "a commit's signer and index")
            must(commit["root"] == root(self.leaves[:size]), "a commit's root")
            must(commit["entries"] == entries[size:size + len(commit["entries"])], "a commit's entries")
            size += len(commit["entries"])
        must(size == len(entries), "commits hold every entry")

    def tree(self):
        tree = self.documents["tree"]
        leaves, size = self.leaves, len(self.leaves)
        must(tree["leaves"] == [leaf.hex() for leaf in leaves], "tree.json: leaves")
        must(tree["roots"] == [root(leaves[:n]).hex() for n in range(size + 1)], "tree.json: roots")
        for one in tree["inclusion"]:
            index, n = one["index"], one["size"]
            proof = [bytes.fromhex(part) for part in one["proof"]]
            good = proof == path(index, leaves[:n]) and includes(leaves[index], index, n, proof, root(leaves[:n]))
            must(good, f"tree.json: inclusion {self.one(index)} in {n}")
        for one in tree["consistency"]:
            old, new = one["from"], one["to"]
            proof = [bytes.fromhex(part) for part in one["proof"]]
            good = extends(old, root(leaves[:old]), new, root(leaves[:new]), proof)
            must(good and proof == consistency(old, leaves[:new]), f"tree.json: consistency {self.one(old)} to {new}")
        name, key, _ = read_vkey(tree["vkey"])
        text = "ed25519:" + base64.urlsafe_b64encode(self.ledger).decode().rstrip("=")
        must(name == tree["origin"] == f"keyroll/{text}/demo" and key == self.online, "tree.json: verifier key")
        for note in tree["checkpoints"]:
            n, found = read_checkpoint(note, tree["vkey"])
            must(found == root(leaves[:n]), f"tree.json: checkpoint of {self.one(n)}")
        for one in tree["tlog_proofs"]:
            found = read_tlog_proof(one["text"], bytes.fromhex(one["leaf"]), tree["vkey"])
            must(found == (one["index"], bytes.fromhex(one["extra"])), "tree.json: tlog-proof")

    def values(self):
        document = self.documents["values"]
        ledger, workspace = self.ledger, document["workspace"]
        must(same(ledger, document["ledger"]), "values.json: ledger")
        for one in document["sealed"]:
            name, raw = self.one(one["name"]), unhex(one, "data_key", "nonce", "aad", "value", "sealed", "secret", "digest")
            aad = encode(["keyroll/value/v1", [ledger, workspace, raw["secret"], one["version"]]])
            self.schema.validate("value-context", decode(aad))
            self.schema.validate("sealed-value", raw["sealed"])
            must(aad == raw["aad"], f"{name}: aad")
            must(seal_value(raw["data_key"], raw["nonce"], raw["value"], aad) == raw["sealed"], f"{name}: sealed")
            must(open_value(raw["data_key"], raw["sealed"], aad) == raw["value"], f"{name}: value")
            must(hashlib.sha256(raw["sealed"]).digest() == raw["digest"], f"{name}: digest")
        for one in document["refused"]:
            raw = unhex(one, "data_key", "sealed", "aad")
            try:
                open_value(raw["data_key"], raw["sealed"], raw["aad"])
            except (AssertionError, CryptoError):
                continue
            raise AssertionError(f"values.json: {self.one(one['name'])} opens")
        contexts = ("wrap-context", "workspace-key-context", "sealing-secret-context")
        for one, context in zip(document["wrapped"], contexts, strict=True):
            name, raw = self.one(one["name"]), unhex(one, "under", "nonce", "aad", "key", "wrapped")
            self.schema.validate(context, decode(raw["aad"]))
            self.schema.validate("wrapped-key", raw["wrapped"])
            must(seal(raw["under"], raw["nonce"], raw["key"], raw["aad"]) == raw["wrapped"], f"{name}: wrapped")
            must(unseal(raw["under"], raw["wrapped"], raw["aad"]) == raw["key"], f"{name}: unwrapped")
        for one in document["places"]:
            raw = unhex(one, "command", "digest", "place")
            must(place(self.alice, raw["command"], one["item"], raw["digest"]) == raw["place"], f"place {self.one('place')}")
        self.session(document["session"], workspace)

    def session(self, one, workspace):
        raw = unhex(one, "sealing_private", "sealing_public", "info", "ephemeral_ikm", "enc")
        info = encode(["keyroll/session/v1", [self.ledger, workspace, self.alice]])
        self.schema.validate("session-context", decode(info))
        must(info == raw["info"], "session: info")
        self.there, public = Session.ledger(raw["sealing_private"], raw["enc"], info)
        here, enc = Session.client(raw["ephemeral_ikm"], public, info)
        must((public, enc) == (raw["sealing_public"], raw["enc"]), "session: keys")
        for item in one["items"]:
            given = unhex(item, "command", "info_and_aad", "data_key", "nonce", "sealed")
            for end in (here, self.there):
                key, context = end.item(item["direction"], given["command"], item["item"])
                self.schema.validate("item-context", decode(context))
                must(context == given["info_and_aad"], "session: item's context")
                must(seal(key, given["nonce"], given["data_key"], context) == given["sealed"], "session: sealed key")
            self.one("item")

    def wire(self):
        document = self.documents["wire"]
        forms = {form["name"]: decode(bytes.fromhex(form["bytes"])) for form in document["forms"]}
        request = forms["request: secret.create"]
        kid, command = open_signed(self.schema, "signed-command", request["command"])
        new = command["action"]["secret.create"]["secret"]
        sent = request["values"][0]
        must(hashlib.sha256(sent["sealed"]).digest() == new["digest"] and len(sent["sealed"]) == new["size"], "digest")
        data_key = unseal(*self.journey("to-ledger", command["id"], sent["key"]))
        aad = encode(["keyroll/value/v1", [self.ledger, "demo", new["id"], 1]])
        must(open_value(data_key, sent["sealed"], aad) == b"correct horse battery staple", "the value sent")
        self.vault(forms, document, new, data_key)
        self.done(forms["reply: done, with a released value"]["done"], document["seen"])
        self.refused(forms)
        info = forms["info"]
        must(open_signed(self.schema, "signed-ledger-key", info["ledger_key"])[0] == self.ledger, "info: ledger key")
        signer, sealing = open_signed(self.schema, "signed-sealing-key", info["sealing_key"])
        must(signer == self.online and sealing["period"] == info["now"] // PERIOD_MS, "info: sealing key")
        self.bundle(bytes.fromhex(document["bundle"]))

    def journey(self, direction, command, sealed):
        key, aad = self.there.item(direction, command, 0)
        return key, sealed, aad

    def vault(self, forms, document, new, data_key):
        raw = unhex(document, "root_key", "workspace_key")
        stored, digest = forms["vault message"], new["digest"]
        aad = encode(["keyroll/wrap/v1", [self.ledger, "demo", new["id"], 1, 1, digest]])
        must(unseal(raw["workspace_key"], stored["key"], aad) == data_key, "vault message")
        aad = encode(["keyroll/workspace-key/v1", [self.ledger, "demo", 1]])
        wrapped = forms["workspace key message"]["wrapped"]
        must(unseal(raw["root_key"], wrapped, aad) == raw["workspace_key"], "workspace key message")
        session = self.documents["values"]["session"]
        aad = encode(["keyroll/sealing-secret/v1", [self.ledger, session["period"]]])
        message = forms["sealing key message"]
        secret = unseal(raw["root_key"], message["wrapped"], aad)
        must(secret.hex() == session["sealing_private"], "sealing key message")
        must(message["public"].hex() == session["sealing_public"], "sealing key message")

    def done(self, done, seen):
        """What a client does with the reply to a reveal."""
        receipt, tree = done["receipt"], self.documents["tree"]
        size, expected = read_checkpoint(receipt["checkpoint"], tree["vkey"])
        leaf = leaf_hash(receipt["entry"])
        must(includes(leaf, receipt["index"], size, receipt["path"], expected), "receipt: inclusion")
        must(extends(seen, root(self.leaves[:seen]), size, expected, done["consistency"]), "receipt: consistency")
        entry = decode(receipt["entry"])
        _, command = open_signed(self.schema, "signed-command", entry["command"])
        revealed = entry["events"][0]["secret.revealed"]["secrets"][0]
        released = done["released"][0]
        must(hashlib.sha256(released["sealed"]).digest() == revealed["digest"], "released: digest")
        data_key = unseal(*self.journey("to-client", command["id"], released["key"]))
        aad = encode(["keyroll/value/v1", [self.ledger, "demo", revealed["id"], revealed["version"]]])
        must(open_value(data_key, released["sealed"], aad) == b"correct horse battery staple", "released: value")

    def refused(self, forms):
        command = forms["request without values"]["command"]
        signer, reply = open_signed(self.schema, "signed-reply", forms["reply: refused"]["refused"])
        must(signer == self.online and reply["request"] == hashlib.sha256(command).digest(), "refused: request")
        seen, size = self.documents["wire"]["seen"], reply["size"]
        good = extends(seen, root(self.leaves[:seen]), size, reply["root"], reply["consistency"])
        must(good, "refused: consistency")

    def bundle(self, data):
        self.schema.validate("bundle", data)
        header, *commits = decode_sequence(data)
        header = decode(header)
        _, statement = open_signed(self.schema, "signed-ledger-key", header["ledger_key"])
        must(statement["key"] == self.online and header["ledger"] == self.ledger, "bundle: keys")
        size, expected = read_checkpoint(header["checkpoint"], self.documents["tree"]["vkey"])
        must(size == len(self.leaves) and expected == root(self.leaves), "bundle: checkpoint")
        must([commit.hex() for commit in commits] == [form["bytes"] for form in self.documents["log"]["forms"]], "bundle")

    def documented(self, file):
        for block in re.findall(r"^```hex\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            wanted = "".join(re.sub(r"#.*", "", block).split())
            must(any(wanted in text for text in self.texts), f"{file.name}: no vector holds {self.one(wanted)[:60]}…")

    def all(self, documents):
        for step in (self.keys, self.forms, self.log, self.tree, self.values, self.wire, self.refusals):
            step()
        # Of the five sizes of sealed values the vectors have the two smallest.
        left = self.schema.unmatched(exempt={"sealed-value", "sealed-size"})
        must(not left, f"no vector follows {left}")
        for document in documents:
            self.documented(document)


def unhex(one, *keys):
    return {key: bytes.fromhex(one[key]) for key in keys}


def place(actor, command, item, digest):
    return hashlib.sha256(actor + command + item.to_bytes(4, "big") + digest).digest()


def deviants(value):
    """The value with a field too many in one of its maps, or with one leaf of another type."""
    if isinstance(value, dict):
        yield {**value, "zz": 1}
        for key, part in value.items():
            for deviant in deviants(part):
                yield {**value, key: deviant}
    elif isinstance(value, list):
        for at, part in enumerate(value):
            for deviant in deviants(part):
                yield [*value[:at], deviant, *value[at + 1:]]
    elif isinstance(value, str):
        yield value.encode()
    else:
        yield 1.5
        yield "text"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        checker = Checker(Path(sys.argv[1]))
        checker.all([Path(name) for name in sys.argv[2:]])
    except AssertionError as error:
        sys.exit(f"check_vectors: {error}")
    print(f"check_vectors: {checker.count} vectors and {len(checker.schema.rules)} rules are right")


if __name__ == "__main__":
    main()
