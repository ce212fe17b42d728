"""A keyroll client in Python, written from docs/protocol.md and schemas/ alone.

nats-py carries, cbor2 encodes, cryptography and PyNaCl do Ed25519, X25519 and XChaCha20-Poly1305. COSE (RFC 9052), HPKE
(RFC 9180) and the Merkle proofs (RFC 9162) are put together here. Nothing that a ledger says is believed unchecked.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import struct
import time
from pathlib import Path

import cbor2
import nats
import nats.errors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_open,
    crypto_aead_xchacha20poly1305_ietf_encrypt as xchacha_seal,
)
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

EMPTY_ROOT = hashlib.sha256(b"").digest()
DAY_MS = 24 * 60 * 60 * 1000
BUCKETS = (256, 1024, 4096, 16384, 65536)
OF_THE_TREE = {"not_found", "deleted", "destroyed", "conflict"}
NOT_THE_LAST_WORD = {"audit_unavailable", "unreachable", "internal", "stale"}


class Refused(Exception):
    """The ledger's refusal, or what this client itself does not believe (`own`)."""

    def __init__(self, code, message, own=False):
        super().__init__(f"{code}: {message}")
        self.code, self.own = code, own


def believe(good, code, what):
    if not good:
        raise Refused(code, what, own=True)


def now():
    return time.time_ns() // 1_000_000


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def uuid7():
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    return now().to_bytes(6, "big") + bytes(random)


# --- forms --------------------------------------------------------------------------------------


def encode(value):
    return cbor2.dumps(value, canonical=True)


def decode(data):
    try:
        value = cbor2.loads(data)
    except Exception as error:
        raise Refused("malformed", f"no CBOR: {error}", own=True) from error
    believe(encode(value) == data, "malformed", "not the one encoding of this")
    return value


def public(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def text_of(key):
    return "ed25519:" + base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of(text):
    believe(text.startswith("ed25519:"), "malformed", "an identity begins with ed25519:")
    return base64.urlsafe_b64decode(text[8:] + "=" * (-len(text[8:]) % 4))


def sign(form, payload, key):
    protected = encode({1: -19, 4: public(key), 16: f"application/vnd.keyroll.{form}"})
    signed = encode(["Signature1", protected, f"keyroll/{form}/v1".encode(), payload])
    return encode(cbor2.CBORTag(18, [protected, {}, payload, key.sign(signed)]))


def verify(form, data, signer=None):
    """The payload and signer of a signed form. libsodium's check is the strict one."""
    outer = decode(data)
    believe(isinstance(outer, cbor2.CBORTag) and outer.tag == 18 and len(outer.value) == 4, "malformed", "no COSE_Sign1")
    protected, unprotected, payload, signature = outer.value
    header = decode(protected)
    believe(not unprotected and set(header) == {1, 4, 16} and header[1] == -19, "malformed", "another header")
    believe(header[16] == f"application/vnd.keyroll.{form}", "malformed", f"no {form}")
    believe(signer in (None, header[4]), "bad_signature", f"the {form} is signed by another key")
    signed = encode(["Signature1", protected, f"keyroll/{form}/v1".encode(), payload])
    try:
        VerifyKey(header[4]).verify(signed, signature)
    except (BadSignatureError, ValueError) as error:
        raise Refused("bad_signature", str(error), own=True) from error
    return decode(payload), header[4]


# --- the tree -----------------------------------------------------------------------------------


def leaf_hash(entry):
    return sha256(b"\x00", entry)


def node(left, right):
    return sha256(b"\x01", left, right)


def tree_root(leaves):
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        pairs = [node(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) // 2 * 2 :]
    return level[0]


def included(leaf, index, size, path, root):
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    fn, sn, seen = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            seen = node(sibling, seen)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            seen = node(seen, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and seen == root


def extends(old_size, old_root, size, root, proof):
    """RFC 9162 §2.1.4.2, with the sizes that it leaves out."""
    if old_size == 0 or old_size == size:
        return not proof and old_root == (EMPTY_ROOT if old_size == 0 else root)
    if old_size > size or not proof:
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(sibling, fr), node(sibling, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == root


def read_checkpoint(note, origin, key):
    """Size and root of a signed note with a good signature by `key` (c2sp.org/signed-note, tlog-checkpoint)."""
    text, gap, signatures = note.rpartition("\n\n")
    believe(gap and signatures.endswith("\n"), "corrupt", "no signed note")
    text += "\n"
    lines = text.split("\n")
    believe(len(lines) >= 4 and lines[0] == origin, "corrupt", "a checkpoint of something else")
    key_id = sha256(origin.encode(), b"\n\x01", key)[:4]
    good = False
    for line in signatures.split("\n")[:-1]:
        dash, name, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        if dash == "—" and name == origin and blob[:4] == key_id:
            try:
                VerifyKey(key).verify(text.encode(), blob[4:])
            except (BadSignatureError, ValueError) as error:
                raise Refused("corrupt", f"the checkpoint's signature: {error}", own=True) from error
            good = True
    believe(good, "corrupt", "the checkpoint has no signature by the ledger's key")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    believe(lines[1] == str(size) and len(root) == 32, "corrupt", "no checkpoint")
    return size, root


# --- values -------------------------------------------------------------------------------------


def extract(salt, secret):
    return hmac.digest(salt or bytes(32), secret, "sha256")


def expand(secret, info, length):
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(secret, block + info + bytes([counter]), "sha256")
        out += block
    return out[:length]


def hkdf(secret, info, length):
    return expand(extract(b"", secret), info, length)


class Session:
    """The sender's side of one HPKE exchange, used for its exports only (RFC 9180 §4.1, §5.1, §5.3)."""

    def __init__(self, sealing, info, ephemeral=None):
        ephemeral = ephemeral or X25519PrivateKey.generate()
        enc = public(ephemeral)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(sealing["key"]))
        kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"

        def labeled_extract(suite_id, salt, label, secret):
            return extract(salt, b"HPKE-v1" + suite_id + label + secret)

        def labeled_expand(suite_id, secret, label, context):
            return expand(secret, struct.pack(">H", 32) + b"HPKE-v1" + suite_id + label + context, 32)

        eae = labeled_extract(kem, b"", b"eae_prk", shared)
        secret = labeled_expand(kem, eae, b"shared_secret", enc + sealing["key"])
        context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
        exporter = labeled_expand(suite, labeled_extract(suite, secret, b"secret", b""), b"exp", context)
        self.reference = {"enc": enc, "period": sealing["period"]}
        self.secrets = {way: labeled_expand(suite, exporter, b"sec", way.encode()) for way in ("keyroll/to-ledger/v1", "keyroll/to-client/v1")}

    def _journey(self, way, command, item):
        context = encode([way, [command, item]])
        return hkdf(self.secrets[way], context, 32), context

    def send(self, command, item, data_key):
        key, context = self._journey("keyroll/to-ledger/v1", command, item)
        nonce = os.urandom(24)
        return nonce + xchacha_seal(data_key, context, nonce, key)

    def receive(self, command, item, data):
        key, context = self._journey("keyroll/to-client/v1", command, item)
        return opened(data[24:], context, data[:24], key)


def opened(sealed, context, nonce, key):
    try:
        return xchacha_open(sealed, context, nonce, key)
    except (CryptoError, ValueError) as error:
        raise Refused("corrupt", f"it does not open: {error}", own=True) from error


def seal_value(value, data_key, context):
    believe(1 <= len(value) <= 65_535, "invalid_value", "a value has 1 to 65,535 bytes")
    size = next(bucket for bucket in BUCKETS if len(value) < bucket)
    padded = value + b"\x80" + bytes(size - len(value) - 1)
    keys = hkdf(data_key, b"keyroll/value/v1", 64)
    nonce = os.urandom(24)
    return b"\x01" + keys[32:] + nonce + xchacha_seal(padded, context, nonce, keys[:32])


def open_value(sealed, digest, data_key, context):
    believe(sha256(sealed) == digest, "corrupt", "another value than the entry names")
    keys = hkdf(data_key, b"keyroll/value/v1", 64)
    believe(sealed[:1] == b"\x01" and hmac.compare_digest(sealed[1:33], keys[32:]), "corrupt", "form or commitment")
    padded = opened(sealed[57:], context, sealed[33:57], keys[:32]).rstrip(b"\x00")
    believe(len(padded) > 1 and padded[-1] == 0x80, "corrupt", "the padding")
    return padded[:-1]


# --- the client ---------------------------------------------------------------------------------


class Client:
    """One identity, or a key it delegated to, in one workspace."""

    def __init__(self, connection, ledger, workspace, key, home, delegation=None):
        self.nats, self.ledger, self.workspace, self.key = connection, ledger, workspace, key
        self.delegation = delegation
        self.actor = verify("delegation", delegation)[0]["identity"] if delegation else public(key)
        self.origin = f"keyroll/{text_of(ledger)}/{workspace}"
        self.file = Path(home) / f"{workspace}.json"
        self.serial = Path(home) / "serial"
        self.online = self.sealing = self.session = None

    async def meet(self):
        reply = await self.nats.request("keyroll.v1._ledger.info", b"", timeout=5)
        info = decode(reply.data)
        said, _ = verify("ledger-key", info["ledger_key"], self.ledger)
        good = said["ledger"] == self.ledger and said["not_before"] <= now() <= said["not_after"]
        believe(good, "wrong_ledger", "the online key is not the ledger's, or not in force")
        before = int(self.serial.read_text()) if self.serial.exists() else 0
        believe(said["serial"] >= before, "wrong_ledger", "an online key that was succeeded")
        self.serial.write_text(str(said["serial"]))
        self.online = said["key"]
        self.sealing, _ = verify("sealing-key", info["sealing_key"], self.online)
        today = now() // DAY_MS
        believe(self.sealing["ledger"] == self.ledger, "wrong_ledger", "another ledger's sealing key")
        believe(self.sealing["period"] in (today, today - 1), "stale", "a sealing key of another day")
        believe(abs(info["now"] - now()) < 60_000, "stale", "the clocks differ")
        context = encode(["keyroll/session/v1", [self.ledger, self.workspace, self.actor]])
        self.session = Session(self.sealing, context)
        return self

    # What was seen.

    def trusted_checkpoint(self):
        if not self.file.exists():
            return 0, EMPTY_ROOT
        kept = json.loads(self.file.read_text())
        return kept["size"], bytes.fromhex(kept["root"])

    def extend(self, asked, size, root, proof):
        """Believes a position if it extends what was held when it was asked for, and keeps the highest."""
        believe(size >= asked[0], "rollback", f"{size} entries, {asked[0]} were seen before")
        believe(extends(*asked, size, root, proof), "fork", "another history than the one seen before")
        held = self.trusted_checkpoint()
        believe(size != held[0] or root == held[1], "fork", "another root for the same size")
        if size > held[0]:
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps({"size": size, "root": root.hex()}))
            fresh.replace(self.file)

    def check_reply(self, data, request, asked):
        """The body of a signed reply, once signer, request and position hold."""
        reply, _ = verify("reply", data, self.online)
        believe(reply["request"] == sha256(request), "corrupt", "the reply answers another request")
        error = reply["body"].get("error")
        if reply["size"] == 0 and reply["root"] == EMPTY_ROOT:
            without = asked[0] == 0 or (error is not None and error["code"] not in OF_THE_TREE)
            believe(without, "rollback", "an answer without a position")
        else:
            self.extend(asked, reply["size"], reply["root"], reply["consistency"])
        if error is not None:
            raise Refused(error["code"], error["message"])
        return reply["body"]["answer"], reply["size"], reply["root"]

    # Queries.

    async def ask(self, name, /, **fields):
        """Answer, size and root."""
        asked = self.trusted_checkpoint()
        query = {"v": 1, "at": now(), "ask": {name: fields}, "seen": asked[0], "ledger": self.ledger, "workspace": self.workspace}
        if self.delegation:
            query["delegation"] = self.delegation
        signed = sign("query", encode(query), self.key)
        reply = await self.nats.request(f"keyroll.v1.{self.workspace}.query", signed, timeout=5)
        answer, size, root = self.check_reply(reply.data, signed, asked)
        believe(set(answer) == {name}, "corrupt", "an answer to another question")
        return answer[name], size, root

    async def rows(self, name, /, **fields):
        """All pages of a list."""
        found, page = [], {}
        while True:
            answer, _, _ = await self.ask(name, limit=1000, **fields, **page)
            found += answer["rows"]
            if "next" not in answer:
                return found
            page = {"after": answer["next"]}

    # Commands.

    def command(self, action, fields, id=None):
        """Id and signed bytes."""
        id = id or uuid7()
        command = {"v": 1, "at": now(), "id": id, "action": {action: fields}, "ledger": self.ledger, "workspace": self.workspace}
        if self.delegation:
            command["delegation"] = self.delegation
        return id, sign("command", encode(command), self.key)

    async def send(self, signed, values=()):
        """Entry, index and released values of a command. The same bytes are sent until their fate is known."""
        asked = self.trusted_checkpoint()
        request = encode({"seen": asked[0], "values": list(values), "command": signed})
        pause, end, unknown = 0.02, time.monotonic() + 10, False
        while True:
            try:
                reply = await self.nats.request(f"keyroll.v1.{self.workspace}.command", request, timeout=4)
                return self.check_done(reply.data, signed, asked)
            except nats.errors.NoRespondersError as error:
                if not unknown:
                    raise Refused("unreachable", "no service answers", own=True) from error
            except nats.errors.TimeoutError:
                unknown = True
            except Refused as refused:
                passing = refused.code in ("busy", "audit_unknown") or unknown and refused.code in NOT_THE_LAST_WORD
                if refused.own or not passing:
                    raise
                unknown |= refused.code == "audit_unknown"
            if time.monotonic() > end:
                raise Refused("audit_unknown" if unknown else "busy", "its fate is not known", own=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    def check_done(self, data, signed, asked):
        reply = decode(data)
        if "refused" in reply:
            self.check_reply(reply["refused"], signed, asked)
            raise Refused("corrupt", "an answer in place of a refusal", own=True)
        done = reply["done"]
        entry, size, root = self.check_receipt(done["receipt"])
        believe(entry["command"] == signed, "corrupt", "the receipt is of another command")
        self.extend(asked, size, root, done["consistency"])
        for event in entry["events"]:
            if "access.denied" in event:
                raise Refused("denied", f"on record: {event['access.denied']['reason']}")
        return entry, done["receipt"]["index"], done["released"]

    def check_receipt(self, receipt):
        size, root = read_checkpoint(receipt["checkpoint"], self.origin, self.online)
        good = included(leaf_hash(receipt["entry"]), receipt["index"], size, receipt["path"], root)
        believe(good, "corrupt", "the entry is not in the tree of its receipt")
        return decode(receipt["entry"]), size, root

    async def act(self, action, fields):
        return await self.send(self.command(action, fields)[1])

    # Values.

    def value_context(self, secret, version):
        return encode(["keyroll/value/v1", [self.ledger, self.workspace, secret, version]])

    def seal(self, command, item, secret, version, value):
        data_key = os.urandom(32)
        sealed = seal_value(value, data_key, self.value_context(secret, version))
        return {"key": self.session.send(command, item, data_key), "sealed": sealed}

    async def with_session(self, make):
        """`make` gives action, fields and values for a command's id; once more where the session is gone."""
        for last in (False, True):
            id = uuid7()
            action, fields, values = make(id)
            try:
                return id, await self.send(self.command(action, fields, id)[1], values)
            except Refused as refused:
                if last or refused.code != "session_expired":
                    raise
                await self.meet()

    async def create(self, values, **more):
        """Creates secrets, {name: value}; their ids by name."""
        ids = {name: os.urandom(16) for name in values}
        described = {"hosts": [], "restricted": False, "description": "", **more}

        def make(command):
            news, sent = [], []
            for item, (name, value) in enumerate(values.items()):
                one = self.seal(command, item, ids[name], 1, value)
                size, digest = len(one["sealed"]), sha256(one["sealed"])
                news.append({"id": ids[name], "name": name, "size": size, "digest": digest, **described})
                sent.append(one)
            if len(news) == 1:
                return "secret.create", {"secret": news[0], "session": self.session.reference}, sent
            return "secret.import", {"secrets": news, "session": self.session.reference}, sent

        await self.with_session(make)
        return ids

    async def edit(self, id, name, version, value, from_version=None):
        """Makes `version` of a secret."""

        def make(command):
            one = self.seal(command, 0, id, version, value)
            edit = {"id": id, "name": name, "size": len(one["sealed"]), "digest": sha256(one["sealed"])}
            edit |= {"session": self.session.reference, "version": version}
            if from_version is None:
                return "secret.edit", edit, [one]
            return "secret.rollback", {"edit": edit, "from": from_version}, [one]

        _, (entry, index, _) = await self.with_session(make)
        return entry, index

    async def reveal(self, *wanted, purpose=None):
        """Values by name; `wanted` are names, or pairs of name and version."""
        names = [{"name": one} if isinstance(one, str) else {"name": one[0], "version": one[1]} for one in wanted]

        def make(_):
            fields = {"names": names, "purpose": purpose or {"view": {}}, "session": self.session.reference}
            return "secret.reveal", fields, []

        command, (entry, _, released) = await self.with_session(make)
        return self.open_released(command, entry, released, names)

    def open_released(self, command, entry, released, names):
        said = entry["events"][0]["secret.revealed"]["secrets"]
        believe(len(said) == len(released) == len(names), "corrupt", "another number of values")
        values = {}
        for item, (one, got, want) in enumerate(zip(said, released, names)):
            fits = one["name"] == want["name"] and want.get("version", one["version"]) == one["version"]
            believe(fits, "corrupt", "another secret than was asked for")
            data_key = self.session.receive(command, item, got["key"])
            context = self.value_context(one["id"], one["version"])
            values[one["name"]] = open_value(got["sealed"], one["digest"], data_key, context)
        return values

    # Delegation.

    def delegate(self, key, place, minutes):
        """A signed statement that `key` may speak for this identity."""
        begin = now()
        delegation = {"v": 1, "key": public(key), "where": place, "ledger": self.ledger, "identity": self.actor}
        delegation |= {"not_after": begin + minutes * 60_000, "workspace": self.workspace, "not_before": begin}
        return sign("delegation", encode(delegation), self.key)


async def connect(url):
    """A connection with the inbox prefix of the URL's user."""
    user = url.split("://", 1)[1].split("@", 1)[0].split(":", 1)[0]
    return await nats.connect(url, inbox_prefix=f"_INBOX_client.{user}".encode(), max_reconnect_attempts=3)


def signing_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)
