"""asyncua's server with the nodes of server.js. Usage: server.py PORT PKI; prints "> ready" when it serves, and ends with its standard input"""
import asyncio
import logging
import math
import sys
import uuid
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path

from asyncua import Server, ua, uamethod
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)
URI = "urn:peer:asyncua"
T = ua.VariantType
VALUES = {
    "Boolean": (True, T.Boolean), "SByte": (-100, T.SByte), "Byte": (200, T.Byte), "Int16": (-12345, T.Int16), "UInt16": (54321, T.UInt16), "Int32": (-1234567890, T.Int32),
    "UInt32": (3456789012, T.UInt32), "Int64": (-1234567890123456789, T.Int64), "UInt64": (12345678901234567890, T.UInt64), "Float": (math.pi, T.Float),
    "Double": (2.718281828459045, T.Double), "String": ("Grüße Ω", T.String), "DateTime": (datetime(2026, 3, 4, 5, 6, 7, 89000, timezone.utc), T.DateTime),
    "Guid": (uuid.UUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63"), T.Guid), "ByteString": (b"\xca\xfe\0", T.ByteString),
    "Int32Array": ([-(2**31), 0, 2**31 - 1], T.Int32), "DoubleArray": ([-1.5, 0.0, 2.25], T.Double), "StringArray": (["a", "", "ß"], T.String),
}


class Users(UserManager):
    def get_user(self, _server, username=None, password=None, certificate=None):
        if username is not None and (username, password) != ("joe", "a password"):
            return None
        return User(role=UserRole.User)


@uamethod
def add(_parent, a, b):
    return ua.Variant(a + b, T.Int32)


async def secure(s, pki):
    key = generate_private_key()
    cert = generate_self_signed_app_certificate(
        key, "peer", {}, [x509.UniformResourceIdentifier(URI), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))], extended=[ExtendedKeyUsageOID.SERVER_AUTH])
    (pki / "server.pem").write_bytes(dump_private_key_as_pem(key))
    (pki / "server.der").write_bytes(cert.public_bytes(Encoding.DER))
    await s.load_certificate(str(pki / "server.der"))
    await s.load_private_key(str(pki / "server.pem"))
    p = ua.SecurityPolicyType
    s.set_security_policy([p.NoSecurity, p.Basic256Sha256_Sign, p.Basic256Sha256_SignAndEncrypt, p.Aes128Sha256RsaOaep_SignAndEncrypt, p.Aes256Sha256RsaPss_SignAndEncrypt])
    s.set_identity_tokens([ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken])


async def main():
    s = Server(user_manager=Users())
    await s.init()
    s.set_endpoint(f"opc.tcp://127.0.0.1:{sys.argv[1]}")
    await s.set_application_uri(URI)
    await secure(s, Path(sys.argv[2]))
    ns = await s.register_namespace("urn:peer:nodes")
    peer = await s.nodes.objects.add_object(ua.NodeId("peer", ns), ua.QualifiedName("peer", ns))
    for name, (value, kind) in VALUES.items():
        v = await peer.add_variable(ua.NodeId(name, ns), ua.QualifiedName(name, ns), value, kind)
        await v.set_writable()
    waves = [await peer.add_variable(ua.NodeId(f"v{k}", ns), ua.QualifiedName(f"v{k}", ns), float(k)) for k in range(200)]
    await peer.add_method(ua.NodeId("Add", ns), ua.QualifiedName("Add", ns), add, [T.Int32, T.Int32], [T.Int32])
    async with s:
        print("> ready", flush=True)
        end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        turn = 0
        while not end.done():
            turn += 1
            for k, w in enumerate(waves):
                await s.write_attribute_value(w.nodeid, ua.DataValue(float(turn * 1000 + k)))
            await asyncio.wait([end], timeout=0.2)


asyncio.run(main())
