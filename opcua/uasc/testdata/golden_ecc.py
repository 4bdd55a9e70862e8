#!/usr/bin/env python3
"""Writes golden_ecc.json: what ECC_nistP256 must come to, worked out with python3-cryptography alone. All keys are fixed, and of nobody.

    python3 golden_ecc.py > golden_ecc.json
"""
import datetime, hashlib, hmac, json, struct
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

URI = b"http://opcfoundation.org/UA/SecurityPolicy#ECC_nistP256"
WHEN = 132_000_000_000_000_000


def key(name):
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name).digest(), "big") >> 1, ec.SECP256R1())


CLIENT, SERVER, JC, JS, SECRET = (key(n) for n in (b"client", b"server", b"ephemeral client", b"ephemeral server", b"ephemeral sender"))
NONCE = bytes(range(32))


def scalar(k):
    return k.private_numbers().private_value.to_bytes(32, "big")


def point(k):
    n = k.public_key().public_numbers()
    return n.x.to_bytes(32, "big") + n.y.to_bytes(32, "big")


def derive(own, peer, label, sender, receiver, n):
    salt = struct.pack("<H", n) + label + sender + receiver
    return HKDF(hashes.SHA256(), n, salt, salt).derive(own.exchange(ec.ECDH(), peer.public_key()))


FROM_CLIENT = derive(JC, JS, b"opcua-client", point(JC), point(JS), 64)
FROM_SERVER = derive(JS, JC, b"opcua-server", point(JS), point(JC), 64)


def sign(k, b):
    r, s = utils.decode_dss_signature(k.sign(b, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def cbc(k, iv, b):
    e = Cipher(algorithms.AES(k), modes.CBC(iv)).encryptor()
    return e.update(b) + e.finalize()


def text(b):
    return struct.pack("<i", len(b)) + b


def msg(raw, encrypt, body, channel=4711, token=1, seq=2, request=77):
    tail = struct.pack("<II", seq, request) + body
    if encrypt:
        pad = -(len(tail) + 1 + 32) % 16
        tail += bytes([pad]) * (pad + 1)
    head = b"MSGF" + struct.pack("<III", 16 + len(tail) + 32, channel, token)
    tail += hmac.new(raw[:32], head + tail, hashlib.sha256).digest()
    return head + (cbc(raw[32:48], raw[48:], tail) if encrypt else tail)


def certificate(name, k):
    n = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (x509.CertificateBuilder().subject_name(n).issuer_name(n).public_key(k.public_key()).serial_number(4711)
            .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2046, 1, 1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:golden:" + name)]), False)
            .sign(k, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


CLIENT_CERT, SERVER_CERT = certificate("client", CLIENT), certificate("server", SERVER)


def opn(body, seq=0, request=1):
    sec = struct.pack("<I", 0) + text(URI) + text(CLIENT_CERT) + text(hashlib.sha1(SERVER_CERT).digest())
    rest = sec + struct.pack("<II", seq, request) + body
    b = b"OPNF" + struct.pack("<I", 8 + len(rest) + 64) + rest
    return b + sign(CLIENT, b)


def secret(password, with_certificate):
    """EccEncryptedSecret to JS, whose owner said NONCE last."""
    keys = text(point(SECRET)) + text(point(JS))
    plain = text(NONCE) + text(password)
    pad = -(len(plain) + 2) % 16
    if len(password) + pad < 16:
        pad += 16
    plain += bytes([pad]) * pad + struct.pack("<H", pad)
    raw = derive(SECRET, JS, b"opcua-secret", point(SECRET), point(JS), 32)
    rest = text(URI) + (text(CLIENT_CERT) if with_certificate else struct.pack("<i", -1)) + struct.pack("<qH", WHEN, len(keys)) + keys + cbc(raw[:16], raw[16:], plain)
    b = b"\x01\x00" + struct.pack("<H", 17546) + b"\x01" + struct.pack("<I", len(rest) + 64) + rest
    return b + sign(CLIENT, b)


def identity(k, cert):
    der = k.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"key": der.hex(), "certificate": cert.hex()}


def main():
    out = {
        "client": identity(CLIENT, CLIENT_CERT), "server": identity(SERVER, SERVER_CERT),
        "clientephemeral": scalar(JC).hex(), "serverephemeral": scalar(JS).hex(), "clientnonce": point(JC).hex(), "servernonce": point(JS).hex(),
        "fromclient": FROM_CLIENT.hex(), "fromserver": FROM_SERVER.hex(), "nonce": NONCE.hex(), "messages": [], "opens": [], "secrets": [],
    }
    for encrypt in (False, True):
        for n in (0, 1, 6, 7, 8, 22, 23, 100):
            body = bytes(i & 255 for i in range(n))
            out["messages"].append({"encrypt": encrypt, "body": body.hex(), "client": msg(FROM_CLIENT, encrypt, body).hex(), "server": msg(FROM_SERVER, encrypt, body).hex()})
    for n in (0, 100, 132):
        body = bytes(i & 255 for i in range(n))
        out["opens"].append({"body": body.hex(), "chunk": opn(body).hex()})
    for password in (b"", b"secret", b"x" * 400):
        for with_certificate in (False, True):
            out["secrets"].append({"password": password.hex(), "sealed": secret(password, with_certificate).hex()})
    print(json.dumps(out, indent=0))


main()
