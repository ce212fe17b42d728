"""A second implementation of keyroll's forms, proofs and cryptography, from docs/protocol.md, with other libraries.

cbor2 for CBOR, cryptography for Ed25519 and X25519, PyNaCl for XChaCha20-Poly1305. COSE (RFC 9052) and HPKE (RFC
9180) are built here, since pycose 1.1 knows neither the algorithm Ed25519 (-19) nor HPKE.
"""

import base64
import hashlib
import hmac
import io
import keyword
import re
import unicodedata
from collections.abc import Mapping

import cbor2
from cddl import Mismatch
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

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
    """Whether a value holds only types that keyroll's forms have, within the limits."""
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
    """One item in its only valid encoding; the only tag allowed is COSE_Sign1."""
    try:
        value = cbor2.loads(data)
        again = encode(value)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if again != data:
        raise ValueError("not the one encoding of this")
    tagged = isinstance(value, cbor2.CBORTag) and value.tag == 18
    inner = thaw(value.value) if tagged else value
    if not plain(inner):
        raise ValueError("holds what no form does")
    return cbor2.CBORTag(18, inner) if tagged else value


def thaw(value):
    """Undoes cbor2's immutability of the content of a tag."""
    if isinstance(value, tuple):
        return [thaw(part) for part in value]
    if isinstance(value, Mapping):
        return {key: thaw(part) for key, part in value.items()}
    return value


def decode_sequence(data):
    stream, items = io.BytesIO(data), []
    decoder = cbor2.CBORDecoder(stream)
    try:
        while sum(len(encode(item)) for item in items) < len(data):
            items.append(decoder.decode())
    except cbor2.CBORDecodeError as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    must(b"".join(map(encode, items)) == data, "a sequence of canonical items")
    return items


def secret_name(name):
    return not keyword.iskeyword(name) and name not in PYTHON_SECRETS


def controls(text):
    return {character for character in text if unicodedata.category(character) == "Cc"}


def label(text):
    return text.strip() == text and not controls(text)


def free_text(text):
    return controls(text) <= {"\n", "\t"}


def identity_text(key):
    return "ed25519:" + base64.urlsafe_b64encode(key).decode().rstrip("=")


def same(value, reading):
    """Whether a JSON reading equals the CBOR."""
    if isinstance(value, dict):
        same_keys = isinstance(reading, dict) and list(value) == list(reading)
        return same_keys and all(same(part, reading[key]) for key, part in value.items())
    if isinstance(value, list):
        same_length = isinstance(reading, list) and len(value) == len(reading)
        return same_length and all(map(same, value, reading))
    if isinstance(value, bytes):
        return reading in (value.hex(), identity_text(value), base64.b64encode(value).decode())
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
    """Signer and payload of a signed form, whose signature is verified."""
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
    if form == "command":
        refuse_unknown(inner)
    check(schema, form, inner)
    aad = f"keyroll/{form}/v1".encode()
    verify(kid, signature, encode(["Signature1", protected, aad, payload]))
    if "delegation" in inner:
        signer, delegation = open_signed(schema, "signed-delegation", inner["delegation"])
        if signer != delegation["identity"] or delegation["key"] != kid:
            raise Refused("bad_signature", "a delegation for another key or by another")
    if inner.get("member") == kid or {"member", "delegation"} <= inner.keys():
        raise Refused("malformed", "a member named by its own key, or beside a delegation")
    if form == "command" and (opened := inner["action"].get("signin.open")):
        check_sign_in(schema, kid, inner["ledger"], opened)
    if form == "command" and (accepted := inner["action"].get("member.accept")):
        check_acceptance(schema, kid, inner, accepted)
    return kid, inner


def refuse_unknown(inner):
    """Kinds of proofs, principals and approvals that a later program may know."""
    action = inner.get("action") if isinstance(inner, dict) else None
    action = action if isinstance(action, dict) else {}
    acts = [action.get(name) for name in ("signin.open", "member.accept", "member.invite")]
    acts = [act for act in acts if isinstance(act, dict)]
    unions = [act.get(field) for act in acts for field in ("proof", "principal")]
    unknown = any(isinstance(union, dict) and set(union) - {"key"} for union in unions)
    if isinstance(inner, dict) and "approval" in inner or unknown:
        raise Refused("upgrade_needed", "an unknown kind of proof, principal or approval")


def check_acceptance(schema, code, command, accepted):
    """The binding, which the new member's own key signs."""
    who = accepted["principal"]
    if {"member", "delegation"} & command.keys() or who["key"] == code:
        raise Refused("malformed", "an acceptance for somebody else, or by the code's own key")
    signer, statement = open_signed(schema, "signed-acceptance", accepted["proof"]["key"])
    parts = [command["ledger"], command["workspace"], code, who]
    terms = ["keyroll/acceptance/v1", parts]
    check(schema, "acceptance-terms", terms)
    binding = hashlib.sha256(encode(terms)).digest()
    if statement["binding"] != binding or signer != who["key"]:
        raise Refused("bad_signature", "a proof for another acceptance, or by another key")


def check_sign_in(schema, kid, ledger, opened):
    """The binding, which the member's key signs: who the member is, the log alone can tell."""
    _, statement = open_signed(schema, "signed-sign-in", opened["proof"]["key"])
    terms = [ledger, opened["key"], opened["from"], opened["until"], opened["where"]]
    terms = ["keyroll/sign-in/v1", terms]
    check(schema, "sign-in-terms", terms)
    binding = hashlib.sha256(encode(terms)).digest()
    if statement["binding"] != binding or opened["key"] != kid:
        raise Refused("bad_signature", "a proof for another sign-in, or sent by another key")


def check(schema, rule, value):
    try:
        schema.validate(rule, value)
    except Mismatch as miss:
        # Text that breaks a rule of names is a bad name; anything else is another form.
        code = "invalid_name" if miss.rule in TEXTS and isinstance(miss.value, str) else "malformed"
        raise Refused(code, str(miss)) from miss


def actor_of(kid, command):
    if "delegation" in command:
        return decode(decode(command["delegation"]).value[2])["identity"]
    return command.get("member", kid)


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
    """Size and root of a checkpoint, whose signature is verified."""
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
    """Index and extra data of a proof that is verified."""
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
    """HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305; exports and one message."""

    KEM = b"KEM\x00\x20"
    SUITE = b"HPKE\x00\x20\x00\x01\x00\x03"

    def __init__(self, shared, kem_context, info):
        prk = self.labeled_extract(self.KEM, b"", b"eae_prk", shared)
        secret = self.labeled_expand(self.KEM, prk, b"shared_secret", kem_context, 32)
        psk_id_hash = self.labeled_extract(self.SUITE, b"", b"psk_id_hash", b"")
        info_hash = self.labeled_extract(self.SUITE, b"", b"info_hash", info)
        secret = self.labeled_extract(self.SUITE, secret, b"secret", b"")
        context = b"\x00" + psk_id_hash + info_hash
        self.exporter = self.labeled_expand(self.SUITE, secret, b"exp", context, 32)
        self.first_nonce = self.labeled_expand(self.SUITE, secret, b"base_nonce", context, 12)
        self.cipher = ChaCha20Poly1305(self.labeled_expand(self.SUITE, secret, b"key", context, 32))

    def seal(self, plain):
        """The first message of the context."""
        return self.cipher.encrypt(self.first_nonce, plain, b"")

    def open(self, sealed):
        return self.cipher.decrypt(self.first_nonce, sealed, b"")

    @staticmethod
    def labeled_extract(suite, salt, name, ikm):
        return extract(salt, b"HPKE-v1" + suite + name + ikm)

    @staticmethod
    def labeled_expand(suite, prk, name, info, length):
        return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + name + info, length)

    @classmethod
    def derived(cls, ikm):
        return cls.labeled_expand(cls.KEM, cls.labeled_extract(cls.KEM, b"", b"dkp_prk", ikm), b"sk", b"", 32)

    @classmethod
    def client(cls, ikm, public, info):
        """The actor's end from keying material of the ephemeral key (§7.1.3), and `enc`."""
        ephemeral = X25519PrivateKey.from_private_bytes(cls.derived(ikm))
        enc = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        return cls(shared, enc + public, info), enc

    @classmethod
    def ledger(cls, private, enc, info):
        private = X25519PrivateKey.from_private_bytes(private)
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(private.exchange(X25519PublicKey.from_public_bytes(enc)), enc + public, info), public

    def item(self, direction, command, item):
        """Key and associated data of one data key on its way."""
        name = f"keyroll/{direction}/v1"
        context = encode([name, [command, item]])
        secret = self.labeled_expand(self.SUITE, self.exporter, b"sec", name.encode(), 32)
        return hkdf(secret, context, 32), context


def object_id(actor, command, item, digest):
    return hashlib.sha256(actor + command + item.to_bytes(4, "big") + digest).digest()
