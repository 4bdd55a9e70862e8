"""Asks an S7 server, through python-snap7, what the test says: a question a line on standard input, an answer a line behind "> ".
Its requests for the CPU's state and for the deletion of a block are no S7: they are left out. Usage: python_client.py PORT PDU"""
import logging
import re
import sys
from datetime import datetime

from snap7.client import Client
from snap7.error import S7Error
from snap7.type import Area, Block, Parameter, WordLen

logging.disable(logging.CRITICAL)
AREAS = {"I": Area.PE, "Q": Area.PA, "M": Area.MK, "DB": Area.DB, "C": Area.CT, "T": Area.TM}
SIZES = {"BIT": 1, "BYTE": 2, "CHAR": 3, "WORD": 4, "INT": 5, "DWORD": 6, "DINT": 7, "REAL": 8, "COUNTER": 0x1C, "TIMER": 0x1D}
TYPES = {"OB": Block.OB, "DB": Block.DB, "SDB": Block.SDB, "FC": Block.FC, "SFC": Block.SFC, "FB": Block.FB, "SFB": Block.SFB}


def text(v):
    return v.decode("latin-1").replace("\0", "").strip() if isinstance(v, bytes) else str(v)


class Peer:
    def __init__(self, port, pdu):
        self.c = Client()
        self.c.set_param(Parameter.PDURequest, pdu)
        self.c.connect("127.0.0.1", 0, 2, port)

    def item(self, w):
        byte, _, bit = w[2].partition(".")
        start = int(byte) * 8 + int(bit) if bit else int(byte)
        return AREAS[w[0]], int(w[1]), start, int(w[4]), WordLen(SIZES[w[3]])

    def pdu(self):
        return self.c.get_pdu_length()

    def read(self, *w):
        return self.c.read_area(*self.item(w)).hex()

    def write(self, *w):
        area, db, start, _, size = self.item(w)
        self.c.write_area(area, db, start, bytearray.fromhex(w[5]), size)
        return "ok"

    def vars(self, *w):
        items = []
        for v in " ".join(w).split(";"):
            area, db, start, count, size = self.item(v.split())
            if size != WordLen.Byte:
                return "unserved"
            items.append({"area": area, "db_number": db, "start": start, "size": count})
        return " ".join(v.hex() for v in self.c.read_multi_vars(items)[1])

    def szl(self, number, index):
        s = self.c.read_szl(int(number, 16), int(index, 16))
        return bytes([s.Header.LengthDR >> 8, s.Header.LengthDR & 0xFF, s.Header.NDR >> 8, s.Header.NDR & 0xFF]).hex() + bytes(
            b & 0xFF for b in s.Data[: s.Header.LengthDR * s.Header.NDR]
        ).hex()

    def order(self):
        o = self.c.get_order_code()
        return f"{text(o.OrderCode)} V{o.V1}.{o.V2}.{o.V3}"

    def cpu(self):
        i = self.c.get_cpu_info()
        return " | ".join(text(v) for v in (i.ModuleTypeName, i.SerialNumber, i.ASName, i.Copyright, i.ModuleName))

    def cp(self):
        i = self.c.get_cp_info()
        return f"{i.MaxPduLength} {i.MaxConnections} {i.MaxMpiRate} {i.MaxBusRate}"

    def protection(self):
        p = self.c.get_protection()
        return f"{p.sch_schal} {p.sch_par} {p.sch_rel} {p.bart_sch} {p.anl_sch}"

    def counts(self):
        b = self.c.list_blocks()
        return " ".join(f"{t}={getattr(b, t + 'Count')}" for t in TYPES)

    def list(self, kind):
        return " ".join(str(n) for n in self.c.list_blocks_of_type(TYPES[kind], 1000))

    def info(self, kind, n):
        b = self.c.get_block_info(TYPES[kind], int(n))
        words = [b.BlkNumber, b.BlkLang, b.BlkType, b.MC7Size, b.LoadSize, b.LocalData, b.SBBLength, b.Version, b.Author, b.Family, b.Header]
        return " ".join(text(w) or "-" for w in words)

    def fullupload(self, kind, n):
        data, size = self.c.full_upload(TYPES[kind], int(n))
        return bytes(data[:size]).hex()

    def upload(self, _, n):
        # It leaves on what comes behind the data.
        return self.c.upload(int(n))[: self.c.get_block_info(Block.DB, int(n)).MC7Size].hex()

    def download(self, n, image):
        self.c.download(bytearray.fromhex(image), int(n))
        return "ok"

    def dbget(self, n):
        return self.c.db_get(int(n)).hex()

    def dbfill(self, n, fill):
        self.c.db_fill(int(n), int(fill, 16))
        return "ok"

    def clock(self):
        return self.c.get_plc_datetime().isoformat()[:19]

    def setclock(self, at):
        self.c.set_plc_datetime(datetime.fromisoformat(at))
        return "ok"

    def password(self, p):
        self.c.set_session_password(p)
        return "ok"

    def clearpassword(self):
        self.c.clear_session_password()
        return "ok"

    def stop(self):
        self.c.plc_stop()
        return "ok"

    def hotstart(self):
        self.c.plc_hot_start()
        return "ok"

    def coldstart(self):
        self.c.plc_cold_start()
        return "ok"

    def copyramtorom(self):
        self.c.copy_ram_to_rom(1000)
        return "ok"

    def timeout(self, ms):
        self.c.connection.timeout = int(ms) / 1000
        self.c.connection.socket.settimeout(int(ms) / 1000)
        return ms

    def compress(self):
        self.c.compress(1000)
        return "ok"


def failure(e):
    code = getattr(e, "error_code", None)
    found = re.search(r"0x([0-9A-Fa-f]{2,4})\b", str(e))
    if code is None and found:
        code = int(found[1], 16)
    return f"!({e})" if code is None else f"!{code:02X}" if code < 256 else f"!{code:04X}"


try:
    peer = Peer(int(sys.argv[1]), int(sys.argv[2]))
except S7Error as e:
    print(f"> {e}", flush=True)
    sys.exit()
print("> connected", flush=True)
for line in sys.stdin:
    name, *words = line.split()
    ask = getattr(peer, name, None)
    try:
        answer = ask(*words) if ask else "unserved"
    except S7Error as e:
        answer = failure(e)
    print(f"> {answer}", flush=True)
peer.c.disconnect()
