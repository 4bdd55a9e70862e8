#!/usr/bin/env python3
"""Writes golden.json: what the channel's cryptography must come to, worked out with python3-cryptography alone.

    python3 golden.py > golden.json
"""
import datetime, hashlib, hmac, json, struct
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#"
POLICIES = {"Basic256Sha256": 32, "Aes128_Sha256_RsaOaep": 16, "Aes256_Sha256_RsaPss": 32}  # AES key bytes
CLIENT_NONCE, SERVER_NONCE = bytes(range(32)), bytes(range(100, 132))


def p_sha256(secret, seed, n):
    out, a = b"", seed
    while len(out) < n:
        a = hmac.new(secret, a, hashlib.sha256).digest()
        out += hmac.new(secret, a + seed, hashlib.sha256).digest()
    return out[:n]


def keys(policy, secret, seed):
    n = POLICIES[policy]
    raw = p_sha256(secret, seed, 32 + n + 16)
    return raw[:32], raw[32:32 + n], raw[32 + n:]


def msg(policy, encrypt, secret, seed, body, channel=4711, token=1, seq=2, request=77):
    sign, key, iv = keys(policy, secret, seed)
    tail = struct.pack("<II", seq, request) + body
    if encrypt:
        pad = -(len(tail) + 1 + 32) % 16
        tail += bytes([pad]) * (pad + 1)
    head = b"MSGF" + struct.pack("<III", 16 + len(tail) + 32, channel, token)
    tail += hmac.new(sign, head + tail, hashlib.sha256).digest()
    if encrypt:
        e = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        tail = e.update(tail) + e.finalize()
    return head + tail


def certificate(name, key):
    n = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (x509.CertificateBuilder().subject_name(n).issuer_name(n).public_key(key.public_key()).serial_number(4711)
            .not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2046, 1, 1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:golden:" + name)]), False)
            .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


def asym(policy):
    if policy == "Aes256_Sha256_RsaPss":
        return (padding.PSS(padding.MGF1(hashes.SHA256()), 32), padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None), 66)
    return padding.PKCS1v15(), padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None), 42


def text(b):
    return struct.pack("<i", len(b)) + b


def opn(policy, sender, sender_cert, receiver, receiver_cert, body, seq=51, request=1):
    sign, enc, overhead = asym(policy)
    c = receiver.key_size // 8
    p, sig = c - overhead, sender.key_size // 8
    extra = 1 if c > 256 else 0
    tail = struct.pack("<II", seq, request) + body
    pad = -(len(tail) + 1 + extra + sig) % p
    tail += bytes([pad & 255]) * (pad + 1) + (bytes([pad >> 8]) if extra else b"")
    blocks = (len(tail) + sig) // p
    sec = struct.pack("<I", 0) + text((PREFIX + policy).encode()) + text(sender_cert) + text(hashlib.sha1(receiver_cert).digest())
    head = b"OPNF" + struct.pack("<I", 8 + len(sec) + blocks * c) + sec
    tail += sender.sign(head + tail, sign, hashes.SHA256())
    return head + b"".join(receiver.public_key().encrypt(tail[i:i + p], enc) for i in range(0, len(tail), p))


def secret(policy, receiver, password, nonce):
    _, enc, overhead = asym(policy)
    plain = struct.pack("<I", len(password) + len(nonce)) + password + nonce
    p = receiver.key_size // 8 - overhead
    return b"".join(receiver.public_key().encrypt(plain[i:i + p], enc) for i in range(0, len(plain), p))


def main():
    client = rsa.generate_private_key(65537, 2048)
    client_cert = certificate("client", client)
    out = {"client": client_cert.hex(), "psha256": p_sha256(b"secret", b"seed", 80).hex(), "messages": [], "servers": []}
    for policy in POLICIES:
        for encrypt in (False, True):
            for n in (0, 1, 6, 7, 8, 22, 23, 100):
                body = bytes(i & 255 for i in range(n))
                out["messages"].append({"policy": policy, "encrypt": encrypt, "body": body.hex(),
                                        "client": msg(policy, encrypt, SERVER_NONCE, CLIENT_NONCE, body).hex(),
                                        "server": msg(policy, encrypt, CLIENT_NONCE, SERVER_NONCE, body).hex()})
    for bits in (2048, 3072, 4096):
        key = rsa.generate_private_key(65537, bits)
        cert = certificate("server", key)
        der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        s = {"bits": bits, "key": der.hex(), "certificate": cert.hex(), "opens": [], "secrets": []}
        for policy in POLICIES:
            for n in (0, 100, 132):
                body = bytes(i & 255 for i in range(n))
                s["opens"].append({"policy": policy, "body": body.hex(), "chunk": opn(policy, client, client_cert, key, cert, body).hex()})
            for password in (b"", b"secret", b"x" * 400):
                s["secrets"].append({"policy": policy, "password": password.hex(), "cipher": secret(policy, key, password, SERVER_NONCE).hex()})
        out["servers"].append(s)
    print(json.dumps(out, indent=0))


main()
