#!/usr/bin/env python3
"""Check schemas/vectors with other libraries than the ledger's own, and against schemas/*.cddl.

    check_vectors.py SCHEMAS [DOCUMENT…]

Every block marked `hex` or `vector` in a DOCUMENT must be found in a vector. Prints how much was checked, or the first
thing that is wrong, and then exits 1.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import pycddl
from cddl import Mismatch, Schema
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import CryptoError
from reference import (
    Refused, Session, actor_of, check, consistency, decode, decode_sequence, encode, extends, free_text,
    identity_text, includes, label, leaf_hash, must, object_id, open_signed, open_value, path, read_checkpoint,
    read_tlog_proof, read_vkey, root, same, seal, seal_value, secret_name, unseal,
)

PERIOD_MS = 24 * 60 * 60 * 1000


class Checker:
    def __init__(self, directory):
        texts = [file.read_text() for file in sorted(directory.glob("*.cddl"))]
        must(texts, f"schemas in {directory}")
        pycddl.Schema("keyroll-start = bundle\n" + "".join(texts))
        extra = {"secret-name": secret_name, "label": label, "free-text": free_text}
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

    def codes(self):
        """The key that an invitation's code makes, and the fingerprint that two people compare."""
        for one in self.documents["statements"]["codes"]:
            name = self.one(one["name"])
            code = base64.urlsafe_b64decode(one["code"] + "==")
            terms = ["keyroll/invitation/v1", [self.ledger, one["workspace"], code]]
            self.schema.validate("invitation-code", terms)
            seed = hashlib.sha256(encode(terms)).digest()
            public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
            must(same(public.public_bytes(Encoding.Raw, PublicFormat.Raw), one["key"]), f"{name}: key")
            publics = [bytes.fromhex(key["public"]) for key in self.documents["keys"]["keys"]]
            member = next(public for public in publics if same(public, one["member"]))
            digest = hashlib.sha256(encode(["keyroll/fingerprint/v1", member])).digest()
            bits = f"{int.from_bytes(digest[:10], 'big'):080b}"
            text = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[at:at + 5], 2)] for at in range(0, 80, 5))
            text = "-".join(text[at:at + 4] for at in range(0, 16, 4))
            must(text == one["fingerprint"], f"{name}: fingerprint")

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
        for one in self.documents["refused"]["bundles"]:
            try:
                self.bundle(bytes.fromhex(one["bytes"]))
            except (AssertionError, Mismatch, Refused, ValueError):
                continue
            raise AssertionError(f"refused.json: bundle {self.one(one['name'])} was accepted")

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
        """The object id of a stored value follows from the command."""
        fields = next(iter(command["action"].values()))
        values = fields.get("secrets") if "secrets" in fields else [fields.get("secret", fields.get("edit", fields))]
        for event in events:
            for kind, said in event.items():
                if kind in ("secret.created", "secret.edited"):
                    expected = object_id(actor, command["id"], said["item"], values[said["item"]]["digest"])
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
        text = identity_text(self.ledger)
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
        contexts = ("wrap-context", "workspace-key-context", "sealing-secret-context", "root-key-context")
        for one, context in zip(document["wrapped"], contexts, strict=True):
            name, raw = self.one(one["name"]), unhex(one, "under", "nonce", "aad", "key", "wrapped")
            self.schema.validate(context, decode(raw["aad"]))
            self.schema.validate("wrapped-key", raw["wrapped"])
            must(seal(raw["under"], raw["nonce"], raw["key"], raw["aad"]) == raw["wrapped"], f"{name}: wrapped")
            must(unseal(raw["under"], raw["wrapped"], raw["aad"]) == raw["key"], f"{name}: unwrapped")
        for one in document["places"]:
            raw = unhex(one, "command", "digest", "place")
            must(object_id(self.alice, raw["command"], one["item"], raw["digest"]) == raw["place"], f"place {self.one('place')}")
        self.session(document["session"], workspace)
        self.answer(document["answer"])

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

    def answer(self, one):
        raw = unhex(one, "key_ikm", "key", "ephemeral_ikm", "request", "info", "answer", "enc", "sealed")
        info = encode(["keyroll/answer/v1", [hashlib.sha256(raw["request"]).digest()]])
        self.schema.validate("answer-context", decode(info))
        must(info == raw["info"], "answer: info")
        must(decode(raw["request"]) == {"key": raw["key"], "body": b""}, "answer: request")
        here, enc = Session.client(raw["ephemeral_ikm"], raw["key"], info)
        must(enc == raw["enc"] and here.seal(raw["answer"]) == raw["sealed"], "answer: sealed")
        there, public = Session.ledger(Session.derived(raw["key_ikm"]), raw["enc"], info)
        must(public == raw["key"] and there.open(raw["sealed"]) == raw["answer"], "answer: opened")
        self.one("answer")

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
        """The client's steps with the reply to a reveal."""
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
        """Every block marked `hex` or `vector` is in some vector."""
        for block in re.findall(r"^```vector\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            wanted = json.dumps(block.rstrip("\n"), ensure_ascii=False)[1:-1]
            must(any(wanted in text for text in self.texts), f"{file.name}: no vector holds {self.one(wanted)[:60]}…")
        for block in re.findall(r"^```hex\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            wanted = "".join(re.sub(r"#.*", "", block).split())
            must(any(wanted in text for text in self.texts), f"{file.name}: no vector holds {self.one(wanted)[:60]}…")

    def all(self, documents):
        for step in (self.keys, self.forms, self.codes, self.log, self.tree, self.values, self.wire, self.refusals):
            step()
        # The vectors have the two smallest of the five sizes of sealed values.
        left = self.schema.unmatched(exempt={"sealed-value", "sealed-size"})
        must(not left, f"no vector follows {left}")
        for document in documents:
            self.documented(document)


def unhex(one, *keys):
    return {key: bytes.fromhex(one[key]) for key in keys}


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
