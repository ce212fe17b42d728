"""A keyroll client in Python, written from docs/protocol.md and schemas/ alone: nats-py carries the forms of forms.py.

The client checks everything that a ledger sends.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import os
import time
from pathlib import Path

import nats
import nats.errors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from forms import (
    believe, decode, EMPTY_ROOT, encode, extends, included, leaf_hash, now, open_answer, open_value, public, read_checkpoint,
    Refused, seal_value, Session, sha256, sign, text_of, uuid7, verify,
)

DAY_MS = 24 * 60 * 60 * 1000
OF_THE_TREE = {"not_found", "deleted", "destroyed", "conflict"}
NOT_THE_LAST_WORD = {"audit_unavailable", "unreachable", "internal", "stale"}


class Client:
    """One member, with its own key or with that of a sign-in, in one workspace."""

    def __init__(self, connection, ledger, workspace, key, home, member=None):
        self.nats, self.ledger, self.workspace, self.key = connection, ledger, workspace, key
        self.member = member
        self.actor = member or public(key)
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

    # Trusted checkpoints.

    def trusted_checkpoint(self):
        if not self.file.exists():
            return 0, EMPTY_ROOT
        kept = json.loads(self.file.read_text())
        return kept["size"], bytes.fromhex(kept["root"])

    def extend(self, asked, size, root, proof):
        """Accepts a tree head if it extends the one that was trusted at the request, and keeps the highest."""
        believe(size >= asked[0], "rollback", f"{size} entries, {asked[0]} were seen before")
        believe(extends(*asked, size, root, proof), "fork", "another history than the one seen before")
        held = self.trusted_checkpoint()
        believe(size != held[0] or root == held[1], "fork", "another root for the same size")
        if size > held[0]:
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps({"size": size, "root": root.hex()}))
            fresh.replace(self.file)

    def check_reply(self, data, request, asked):
        """The body of a signed reply, once signer, request and tree head are verified."""
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
        query = {"v": 1, "at": now(), "ask": {name: fields}, "seen": asked[0], "ledger": self.ledger}
        query |= self.claim() | {"workspace": self.workspace}
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
        command = {"v": 1, "at": now(), "id": id, "action": {action: fields}, "ledger": self.ledger}
        command |= self.claim() | {"workspace": self.workspace}
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
        """`make` gives action, fields and values for a command's id; once more if the session is gone."""
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

    # Sign-ins.

    def claim(self):
        """The field that names the member where another key signs."""
        return {"member": self.member} if self.member else {}

    def consent(self, key, where, minutes):
        """The fields of `signin.open` with which `key` acts for this member, whose own key signs."""
        begin = now()
        terms = [self.ledger, public(key), begin, begin + minutes * 60_000, where]
        binding = hashlib.sha256(encode(["keyroll/sign-in/v1", terms])).digest()
        proof = {"key": sign("sign-in", encode({"v": 1, "binding": binding}), self.key)}
        return {"key": terms[1], "from": terms[2], "proof": proof, "until": terms[3], "where": where}


async def connect(url, creds):
    """A connection with the credentials in a file, and the inbox prefix of the user whom their JWT names."""
    lines = [line for line in Path(creds).read_text().splitlines() if line and not line.startswith(("-", "*", "N"))]
    jwt, seed = lines[0], lines[1]
    claims = jwt.split(".")[1]
    user = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["name"]
    # Two bytes of prefix, the seed, two bytes of checksum.
    key = signing_key(base64.b32decode(seed + "=" * (-len(seed) % 8))[2:34])
    return await nats.connect(
        url,
        user_jwt_cb=lambda: bytearray(jwt.encode()),
        signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode())),
        inbox_prefix=f"_INBOX_client.{user}".encode(),
        max_reconnect_attempts=3,
    )


def nkey(key):
    """The text of a connection key: the public half as NATS writes it."""
    data = bytes([20 << 3]) + public(key)
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).decode().rstrip("=")


async def ask_as_guest(guest, subject, body):
    """A request in its envelope, and the answer that was sealed to its key."""
    key = X25519PrivateKey.generate()
    request = encode({"key": public(key), "body": body})
    reply = decode((await guest.request(subject, request, timeout=5)).data)
    return open_answer(key, reply, request)


async def issued(url, ledger, workspaces, key):
    """A connection with credentials that the ledger issues to the holder of `key`."""
    guest = await nats.connect(url, inbox_prefix=b"_INBOX_guest", max_reconnect_attempts=0)
    info = decode(await ask_as_guest(guest, "keyroll.v1._ledger.info", b""))
    said, _ = verify("ledger-key", info["ledger_key"], ledger)
    connection = Ed25519PrivateKey.generate()
    ask = {"ledger.credential": {"connection": public(connection), "workspaces": workspaces}}
    query = sign("query", encode({"v": 1, "at": now(), "ask": ask, "seen": 0, "ledger": ledger}), key)
    data = await ask_as_guest(guest, "keyroll.v1._ledger.credential", query)
    await guest.close()
    reply, _ = verify("reply", data, said["key"])
    believe(reply["request"] == sha256(query), "corrupt", "the reply answers another request")
    if "error" in reply["body"]:
        raise Refused(reply["body"]["error"]["code"], reply["body"]["error"]["message"])
    jwt = reply["body"]["answer"]["ledger.credential"]["jwt"].encode()
    inbox = f"_INBOX_client.{nkey(connection)}".encode()
    signature = lambda nonce: base64.urlsafe_b64encode(connection.sign(nonce.encode())).rstrip(b"=")
    return await nats.connect(
        url, user_jwt_cb=lambda: jwt, signature_cb=signature, inbox_prefix=inbox, max_reconnect_attempts=0
    )


def signing_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)
