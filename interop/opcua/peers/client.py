"""asyncua's client, told what to do by lines on standard input as client.js is; each is answered with one line behind "> ". Usage: client.py PKI"""
import asyncio
import logging
import sys
import time
from datetime import timezone
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)
SIM = "urn:millrace:sim"
URI = "urn:test:peer"


def words(v):
    if isinstance(v, bool):
        return str(v).lower()
    if hasattr(v, "isoformat"):
        return v.replace(tzinfo=timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(v, float) and v.is_integer():
        return str(int(v))
    return str(v)


def text(v):
    if not v.StatusCode.is_good():
        return v.StatusCode.name
    x = v.Value
    if x.is_array:
        return f"{x.VariantType.name} [{' '.join(map(words, x.Value))}]"
    return f"{x.VariantType.name} {words(x.Value)}"


class Waves:
    """counts the changes of each of so many nodes"""

    def __init__(self, n):
        self.n, self.seen, self.done = n, {}, asyncio.Event()

    def datachange_notification(self, node, _value, _data):
        self.seen[node] = self.seen.get(node, 0) + 1
        if self.count() == self.n:
            self.done.set()

    def count(self):
        return sum(k >= 3 for k in self.seen.values())


class Peer:
    def __init__(self, pki):
        key = generate_private_key()
        cert = generate_self_signed_app_certificate(
            key, "peer", {}, [x509.UniformResourceIdentifier(URI), x509.DNSName("localhost")], extended=[ExtendedKeyUsageOID.CLIENT_AUTH])
        self.key, self.cert = str(pki / "key.pem"), str(pki / "cert.der")
        Path(self.key).write_bytes(dump_private_key_as_pem(key))
        Path(self.cert).write_bytes(cert.public_bytes(Encoding.DER))
        self.c = None

    async def connect(self, url, policy, mode, user, lifetime):
        if self.c:
            await self.quit()
        c = Client(url, timeout=30)
        c.application_uri, c.secure_channel_timeout = URI, int(lifetime)
        if policy != "None":
            of = getattr(security_policies, "SecurityPolicy" + policy.replace("_", ""))
            await c.set_security(of, self.cert, self.key, mode=ua.MessageSecurityMode[mode])
        if user == "certificate":
            await c.load_client_certificate(self.cert)
            await c.load_private_key(self.key)
        elif user != "anonymous":
            name, password = user.split(":")
            c.set_user(name)
            c.set_password(password)
        await c.connect()
        self.c, self.ns = c, await c.get_namespace_index(SIM)
        return "connected"

    def node(self, name):
        return self.c.get_node(ua.NodeId(name, self.ns))

    async def read(self, name):
        return text(await self.node(name).read_data_value(raise_on_bad_status=False))

    async def readmany(self, count):
        values = await self.c.read_values([self.node(f"v{k}") for k in range(int(count))])
        return str(sum(0 <= v <= 100 for v in values))

    async def copy(self, source, target):
        v = await self.node(source).read_data_value()
        await self.node(target).write_value(ua.DataValue(v.Value))
        return "Good"

    async def browse(self, name):
        refs = await self.node(name).get_references(refs=ua.ObjectIds.HierarchicalReferences, direction=ua.BrowseDirection.Forward)
        return " ".join(sorted(r.BrowseName.Name for r in refs))

    async def sessions(self):
        """Walks from SessionsDiagnosticsSummary to the objects of sessions: how many, what the last one is made of, how many variables that has, and how its user logged in."""
        objects = await self.c.get_node("i=3706").get_children(refs=ua.ObjectIds.HasComponent, nodeclassmask=ua.NodeClass.Object)
        names, counts, how = [], [], ""
        for part in await objects[-1].get_children(refs=ua.ObjectIds.HasComponent) if objects else []:
            names.append((await part.read_browse_name()).Name)
            fields = await part.get_children(refs=ua.ObjectIds.HasComponent)
            counts.append(len(fields))
            for f in fields:
                if (await f.read_browse_name()).Name == "AuthenticationMechanism":
                    how = await f.read_value()
        return " ".join(map(str, [len(objects), *names, *counts, how]))

    async def call(self, a, b):
        args = [ua.Variant(int(x), ua.VariantType.Int32) for x in (a, b)]
        return str(await self.node("sim").call_method(self.node("Add"), *args))

    async def subscribe(self, count):
        waves = Waves(int(count))
        s = await self.c.create_subscription(50, waves)
        await s.subscribe_data_change([self.node(f"v{k}") for k in range(waves.n)], queuesize=10, sampling_interval=50)
        try:
            await asyncio.wait_for(waves.done.wait(), 20)
        except asyncio.TimeoutError:
            pass
        await s.delete()
        return str(waves.count())

    async def hold(self, ms):
        """reads all the time, over renewals of the token"""
        end, token, renewed = time.monotonic() + int(ms) / 1000, None, 0
        while time.monotonic() < end:
            if await self.node("static.Double").read_value() != 2.718281828459045:
                return "wrong value"
            now = self.c.uaclient.protocol._connection.security_token.TokenId
            renewed, token = renewed + (token not in (None, now)), now
            await asyncio.sleep(0.02)
        return "renewed" if renewed else "not renewed"

    async def quit(self):
        await self.c.disconnect()
        self.c = None
        return "bye"


async def main():
    peer = Peer(Path(sys.argv[1]))
    print("> ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, *args = line.split()
        try:
            answer = await getattr(peer, verb)(*args)
        except ua.UaStatusCodeError as e:
            answer = ua.StatusCode(e.code).name
        except Exception as e:  # whatever it is, the test says that it came
            answer = f"error {type(e).__name__}: {e}".replace("\n", " ")
        print("> " + answer, flush=True)
    if peer.c:
        await peer.quit()


asyncio.run(main())
