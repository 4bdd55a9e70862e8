"""An S7 server on python-snap7 with the plant of this suite. Usage: python_server.py PORT; it ends when standard input does."""
import logging
import sys

from snap7.server import Server
from snap7.type import SrvArea

logging.disable(logging.CRITICAL)


def pattern(n):
    return bytearray(i % 251 for i in range(n))


words = bytearray()
for n in range(256):
    words += int(str(n), 16).to_bytes(2, "big")
server = Server(log=False)
for area, index, data in (
    (SrvArea.PE, 0, pattern(256)),
    (SrvArea.PA, 0, bytearray(1024)),
    (SrvArea.MK, 0, bytearray(1024)),
    (SrvArea.CT, 0, bytearray(words)),
    (SrvArea.TM, 0, bytearray(words)),
    (SrvArea.DB, 1, pattern(8192)),
    (SrvArea.DB, 2, bytearray(1024)),
    (SrvArea.DB, 3, pattern(99)),
):
    server.register_area(area, index, data)
server.start_to("127.0.0.1", int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
server.stop()
