#!/usr/bin/env python3
"""Use a running ledger through the foreign client: everything it can do, and all that it must reject.

    run.py URL NATS.creds LEDGER WORKSPACE IDENTITY.pem HOME   with {"name": value of a secret made elsewhere} on standard input

Prints {"made": {name: value}} for others to look up, or the first failure, and then exits 1.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from forms import (
    Refused, decode, encode, included, key_of, leaf_hash, public, read_checkpoint, sha256, sign, text_of,
    tree_root, verify,
)
from keyroll import Client, connect, issued


def must(good, what):
    if not good:
        raise AssertionError(what)


async def refused(code, doing, own=False):
    try:
        await doing
    except Refused as refusal:
        must((refusal.code, refusal.own) == (code, own), f"{refusal.code} (own: {refusal.own}) for {code}: {refusal}")
        return refusal
    raise AssertionError(f"carried out, and should have been {code}")


class Tour:
    def __init__(self, client, home, url):
        self.client, self.home, self.url, self.made = client, home, url, {}

    def as_another(self, key, home, member=None):
        client, place = self.client, self.home / home
        place.mkdir(exist_ok=True)
        return Client(client.nats, client.ledger, client.workspace, key, place, member)

    async def life(self, found):
        client = self.client
        for name, value in found.items():
            must(await client.reveal(name) == {name: value.encode()}, f"{name}, made elsewhere")
        ids = await client.create({"Py_One": b"one"}, description="by the foreign client")
        must(await client.reveal("Py_One") == {"Py_One": b"one"}, "what was created is revealed")
        id = ids["Py_One"]
        await client.edit(id, "Py_One", 2, b"two")
        values = await client.reveal("Py_One", purpose={"copy": {}})
        must(values == {"Py_One": b"two"}, "the new value at once")
        must(await client.reveal(("Py_One", 1)) == {"Py_One": b"one"}, "the old version by its number")
        await client.edit(id, "Py_One", 3, b"one", from_version=1)
        await refused("conflict", client.edit(id, "Py_One", 3, b"late"))
        await client.act("secret.rename", {"id": id, "to": "Py_First", "name": "Py_One"})
        await client.act("secret.describe", {"id": id, "name": "Py_First", "hosts": ["*.example.com"]})
        history, _, _ = await client.ask("secret.history", name="Py_First", limit=100)
        types = [(row["version"], row["type"]) for row in history["rows"]]
        must(types == [(3, "rolled back from 1"), (2, "edited"), (1, "created")], f"history: {types}")
        ref = {"id": id, "name": "Py_First"}
        await client.act("secret.delete", ref)
        await refused("deleted", client.reveal("Py_First"))
        await client.act("secret.restore", ref)
        self.made["Py_First"] = "one"

    async def many(self):
        client = self.client
        edges = {f"Py_Size_{size}": os.urandom(size) for size in (1, 255, 256, 1023, 1024, 65_535)}
        await client.create(edges)
        must(await client.reveal(*edges) == edges, "values of every bucket, byte for byte")
        listed = {row["name"]: row for row in await client.rows("secret.list", deleted=False)}
        must(set(edges) | {"Py_First"} <= set(listed), f"the list: {sorted(listed)}")
        row = listed["Py_First"]
        must((row["version"], row["state"], row["hosts"]) == (3, "active", ["*.example.com"]), f"the row: {row}")

    async def repetition(self):
        client = self.client
        id = (await client.create({"Py_Twice": b"x"}))["Py_Twice"]
        fields = {"names": [{"name": "Py_Twice"}], "purpose": {"view": {}}, "session": client.session.reference}
        command, signed = client.command("secret.reveal", fields)
        first = await client.send(signed)
        again = await client.send(signed)
        must(first[:2] == again[:2] and len(first[2]) == 1 and not again[2], "the same receipt, and no value")
        receipt, *position = await client.ask("receipt", command=command)
        entry, *stands = client.check_receipt(receipt)
        must(entry == first[0] and stands == position, "the receipt asked for")
        _, other = client.command("secret.delete", {"id": id, "name": "Py_Twice"}, id=command)
        await refused("conflict", client.send(other))
        await refused("not_found", client.ask("receipt", command=bytes(16)))
        await refused("not_found", client.reveal("Py_Never"))
        await refused("not_found", client.ask("secret.show", name="Py_Never"))

    async def proofs(self):
        """The whole log, rebuilt: every commit signed, every leaf under the checkpoint's root."""
        client, leaves, first = self.client, [], 0
        while first is not None:
            page, size, root = await client.ask("audit.commits", first=first)
            must(page["problems"] == [], f"problems: {page['problems']}")
            for data in page["commits"]:
                commit, _ = verify("commit", data, client.online)
                named = (commit["ledger"], commit["workspace"], commit["first"], commit["root"])
                expected = (client.ledger, client.workspace, len(leaves), tree_root(leaves))
                must(named == expected, f"commit at {len(leaves)}")
                for entry in commit["entries"]:
                    verify("command", decode(entry)["command"])
                    leaves.append(leaf_hash(entry))
            first = page.get("next")
        must((len(leaves), tree_root(leaves)) == (size, root), "the root over all entries")
        note, size, root = await client.ask("audit.checkpoint")
        must(read_checkpoint(note["checkpoint"], client.origin, client.online) == (size, root), "the checkpoint")
        receipt, *position = await client.ask("audit.prove", index=3)
        _, size, root = client.check_receipt(receipt)
        must([size, root] == position, "the proof's checkpoint is where the answer was made")
        leaf = leaf_hash(receipt["entry"])
        must(leaf == leaves[3] and included(leaf, 3, size, receipt["path"], root), "the proof of one entry")
        must(not included(leaf, 2, size, receipt["path"], root), "a proof for one index is none for another")
        log, _, _ = await client.ask("audit.log", limit=1000)
        must([row["digest"] for row in log["rows"]] == [leaves[row["index"]] for row in log["rows"]], "the audit log's leaves")

    async def disbelief(self):
        """This client detects messages of a false ledger or of an attacker on the way."""
        client = self.client
        row, _, _ = await client.ask("secret.show", name="Py_First")
        asked = client.trusted_checkpoint()
        _, signed = client.command("secret.describe", {"id": row["id"], "name": "Py_First", "description": "again"})
        request = encode({"seen": asked[0], "values": [], "command": signed})
        reply = await client.nats.request(f"keyroll.v1.{client.workspace}.command", request, timeout=5)
        done = decode(reply.data)["done"]

        def changed(**fields):
            return encode({"done": done | {"receipt": done["receipt"] | fields}})

        flipped = bytearray(done["receipt"]["entry"])
        flipped[-1] ^= 1
        path = [bytes(32)] + done["receipt"]["path"][1:]
        checkpoint = done["receipt"]["checkpoint"]
        other = checkpoint.replace(f"\n{asked[0] + 1}\n", f"\n{asked[0] + 2}\n")
        must(other != checkpoint, "the checkpoint's size is the receipt's")
        for bad in (changed(entry=bytes(flipped)), changed(path=path), changed(checkpoint=other), changed(index=0)):
            await refused("corrupt", later(client.check_done, bad, signed, asked), own=True)
        await refused("corrupt", later(client.check_done, encode({"done": done}), signed + b"x", asked), own=True)
        await refused("fork", later(client.check_done, encode({"done": done}), signed, (asked[0], bytes(32))), own=True)
        ahead = (asked[0] + 9, bytes(32))
        await refused("rollback", later(client.check_done, encode({"done": done}), signed, ahead), own=True)
        must(client.check_done(encode({"done": done}), signed, asked)[1] == asked[0], "unchanged it is believed")
        # A client that has seen more than there is learns of it before any answer.
        kept = client.file.read_text()
        client.file.write_text(json.dumps({"size": asked[0] + 1000, "root": bytes(32).hex()}))
        try:
            await client.ask("member.list", limit=100)
            raise AssertionError("an answer from before what was seen")
        except Refused as refusal:
            must(refusal.code == "rollback", f"{refusal}")
        client.file.write_text(kept)

    async def members(self):
        client, key = self.client, Ed25519PrivateKey.generate()
        vera = await self.as_another(key, "vera").meet()
        await refused("denied", vera.ask("secret.list", limit=10, deleted=False))
        record = {"name": "py-vera", "role": "viewer", "member": public(key), "secrets": ["py_*"]}
        await client.act("member.add", record)
        members, _, _ = await client.ask("member.list", limit=100)
        must("py-vera" in [row["name"] for row in members["rows"]], "the new member is listed")
        rows = await vera.rows("secret.list", deleted=False)
        must(rows and all(row["name"].startswith("Py_") for row in rows), "a member sees what the patterns cover")
        denied = [await refused("denied", vera.reveal(name)) for name in ("Py_First", "Py_Never")]
        must(str(denied[0]) == str(denied[1]), "whether a secret exists stays unsaid")
        log, _, _ = await client.ask("audit.log", limit=10, outcome="denied", actor=public(key))
        must([row["attempted"] for row in log["rows"]] == ["secret.reveal"] * 2, "both attempts are on record")
        await client.act("member.remove", {"member": public(key)})
        await refused("denied", vera.ask("member.list", limit=100))

    async def sign_in(self):
        client, key = self.client, Ed25519PrivateKey.generate()
        page = await self.as_another(key, "page", public(client.key)).meet()
        await refused("denied", page.ask("secret.list", limit=1, deleted=False))
        consent = client.consent(key, "a page in Python", 60)
        await page.act("signin.open", consent)
        await refused("conflict", page.act("signin.open", consent))
        must(await page.reveal("Py_First") == {"Py_First": b"one"}, "a sign-in reveals for its member")
        await page.create({"Py_Page": b"by the page"})
        log, _, _ = await page.ask("audit.log", limit=1)
        row = log["rows"][0]
        must((row["actor"], row.get("sign_in_key")) == (public(client.key), public(key)), f"who, and through what: {row}")
        open_now, _, _ = await client.ask("signin.list", limit=1000)
        must(public(key) in [row["key"] for row in open_now["rows"]], "it is listed")
        record = {"name": "py-mallory", "role": "owner", "member": public(key), "secrets": ["*"]}
        await refused("denied", page.act("member.add", record))
        other = Ed25519PrivateKey.generate()
        thief = await self.as_another(other, "thief", public(client.key)).meet()
        await refused("bad_signature", thief.act("signin.open", consent))
        long = client.consent(other, "too long", 12 * 60 + 1)
        await refused("invalid_field", thief.act("signin.open", long))
        await client.act("signin.close", {"key": public(key)})
        await refused("denied", page.reveal("Py_First"))
        await refused("denied", page.ask("secret.list", limit=1, deleted=False))
        self.made["Py_Page"] = "by the page"

    async def guest(self):
        """Credentials by the protocol alone, and their limits."""
        client, key = self.client, Ed25519PrivateKey.generate()
        own = await issued(self.url, client.ledger, [client.workspace], client.key)
        there = await Client(own, client.ledger, client.workspace, client.key, self.home).meet()
        must(await there.reveal("Py_First") == {"Py_First": b"one"}, "a reveal with issued credentials")
        await own.close()
        for names in ([client.workspace], ["nowhere"], []):
            await refused("denied", issued(self.url, client.ledger, names, key))
        many = [f"w{number}" for number in range(257)]
        await refused("too_large", issued(self.url, client.ledger, many, client.key))

    async def wrong(self):
        """Invalid requests get the documented code."""
        client = self.client
        _, signed = client.command("secret.restore", {"id": bytes(16), "name": "Py_First"})
        forged = signed[:-1] + bytes([signed[-1] ^ 1])
        await refused("bad_signature", client.send(forged))
        old = {"v": 1, "at": 1, "id": bytes(16), "action": {"member.remove": {"member": bytes(32)}}}
        old |= {"ledger": client.ledger, "workspace": client.workspace}
        await refused("stale", client.send(sign("command", encode(old), client.key)))
        old["ledger"] = sha256(b"another")
        await refused("wrong_ledger", client.send(sign("command", encode(old), client.key)))
        await refused("malformed", client.act("member.remove", {"member": bytes(32), "more": 1}))
        await refused("upgrade_needed", client.send(sign("command", encode(old | {"v": 2}), client.key)))


async def later(do, *arguments):
    return do(*arguments)


async def main(url, creds, ledger, workspace, identity, home):
    key = load_pem_private_key(Path(identity).read_bytes(), None)
    connection = await connect(url, creds)
    must(text_of(key_of(ledger)) == ledger, "the ledger's id as text")
    client = await Client(connection, key_of(ledger), workspace, key, home).meet()
    tour = Tour(client, Path(home), url)
    found = json.load(sys.stdin)
    await tour.life(found)
    for step in (tour.many, tour.repetition, tour.members, tour.sign_in, tour.guest, tour.wrong, tour.disbelief, tour.proofs):
        await step()
        print(f"{step.__name__}: as the protocol says", file=sys.stderr)
    await connection.close()
    print(json.dumps({"made": tour.made}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
