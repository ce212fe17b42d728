"""Signed forms, the Merkle tree and sealed values, from docs/protocol.md and schemas/ alone.

COSE (RFC 9052), HPKE (RFC 9180) and the Merkle proofs (RFC 9162) are built here; cbor2, cryptography and PyNaCl do the
rest.
"""

import base64
import hashlib
import hmac
import os
import struct
import time

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_open,
    crypto_aead_xchacha20poly1305_ietf_encrypt as xchacha_seal,
)
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

EMPTY_ROOT = hashlib.sha256(b"").digest()
BUCKETS = (256, 1024, 4096, 16384, 65536)


class Refused(Exception):
    """A refusal by the ledger, or by this client itself (`own`)."""

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
    """RFC 9162 §2.1.4.2, including the sizes that it leaves out."""
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
    """Size and root of a signed note with a valid signature by `key` (c2sp.org/signed-note, tlog-checkpoint)."""
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


SUITE = b"HPKE\x00\x20\x00\x01\x00\x03"


def labeled_expand(suite, secret, label, context, length=32):
    return expand(secret, struct.pack(">H", length) + b"HPKE-v1" + suite + label + context, length)


def key_schedule(shared, kem_context, info):
    """The secret and the context of one HPKE exchange (RFC 9180 §4.1, §5.1): base mode."""
    kem = b"KEM\x00\x20"

    def labeled_extract(suite, salt, label, secret):
        return extract(salt, b"HPKE-v1" + suite + label + secret)

    eae = labeled_extract(kem, b"", b"eae_prk", shared)
    secret = labeled_expand(kem, eae, b"shared_secret", kem_context)
    context = b"\x00" + labeled_extract(SUITE, b"", b"psk_id_hash", b"") + labeled_extract(SUITE, b"", b"info_hash", info)
    return labeled_extract(SUITE, secret, b"secret", b""), context


def open_answer(key, answer, request):
    """What the ledger sealed to the key of a guest's request (RFC 9180 §6.1)."""
    info = encode(["keyroll/answer/v1", [sha256(request)]])
    shared = key.exchange(X25519PublicKey.from_public_bytes(answer["enc"]))
    secret, context = key_schedule(shared, answer["enc"] + public(key), info)
    cipher = ChaCha20Poly1305(labeled_expand(SUITE, secret, b"key", context))
    try:
        return cipher.decrypt(labeled_expand(SUITE, secret, b"base_nonce", context, 12), answer["sealed"], None)
    except InvalidTag as error:
        raise Refused("corrupt", "the answer does not open", own=True) from error


class Session:
    """The sender's side of one HPKE exchange, used for its exports only (RFC 9180 §4.1, §5.1, §5.3)."""

    def __init__(self, sealing, info, ephemeral=None):
        ephemeral = ephemeral or X25519PrivateKey.generate()
        enc = public(ephemeral)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(sealing["key"]))
        secret, context = key_schedule(shared, enc + sealing["key"], info)
        exporter = labeled_expand(SUITE, secret, b"exp", context)
        self.reference = {"enc": enc, "period": sealing["period"]}
        self.secrets = {way: labeled_expand(SUITE, exporter, b"sec", way.encode()) for way in ("keyroll/to-ledger/v1", "keyroll/to-client/v1")}

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
