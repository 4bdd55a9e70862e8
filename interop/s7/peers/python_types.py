"""Reads and makes the bytes of the PLC's data types by python-snap7: "get TYPE HEX" or "set TYPE VALUE" a line, the value or the bytes behind "> ".
Durations are nanoseconds, which it keeps as microseconds; times are ISO 8601."""
import sys
from datetime import date, datetime, timedelta

from snap7.util import getters, setters

US = timedelta(microseconds=1)


def nanoseconds(td):
    return td // US * 1000


def milliseconds_of(text):
    """Reads what get_time writes: -days:hours:minutes:seconds.milliseconds."""
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    d, h, m, s = text.split(":")
    return sign * (((int(d) * 24 + int(h)) * 60 + int(m)) * 60000 + int(s.replace(".", "")))


def s5time(text):
    h, m, s = text.split(":")
    return nanoseconds(timedelta(hours=int(h), minutes=int(m), seconds=float(s)))


def time_text(ns):
    ms = abs(ns) // 1000000
    d, h, m, s, ms = ms // 86400000, ms // 3600000 % 24, ms // 60000 % 60, ms // 1000 % 60, ms % 1000
    return f"{'-' if ns < 0 else ''}{d}:{h}:{m}:{s}.{ms:03d}"


SHOW = {
    "TIME": lambda v: milliseconds_of(v) * 1000000,
    "S5TIME": s5time,
    "TOD": nanoseconds,
    "LTIME": nanoseconds,
    "LTOD": nanoseconds,
    "DATE": lambda v: v.isoformat() + "T00:00:00.000000",
    "LDT": lambda v: v.isoformat(timespec="microseconds"),
    "DTL": lambda v: v.isoformat(timespec="microseconds"),
    "REAL": lambda v: repr(float(v)),
    "LREAL": lambda v: repr(float(v)),
    "BYTE": lambda v: v[0] if isinstance(v, (bytes, bytearray)) else int(v),
    "WORD": lambda v: int.from_bytes(v, "big") if isinstance(v, (bytes, bytearray)) else int(v),
}


def duration(v):
    return timedelta(microseconds=int(v) // 1000)


TAKE = {
    "REAL": float,
    "LREAL": float,
    "CHAR": str,
    "WCHAR": str,
    "STRING": str,
    "WSTRING": str,
    "TIME": lambda v: time_text(int(v)),
    "TOD": duration,
    "LTIME": duration,
    "LTOD": duration,
    "DATE": lambda v: date.fromisoformat(v[:10]),
    "LDT": datetime.fromisoformat,
    "DTL": datetime.fromisoformat,
    "DT": datetime.fromisoformat,
}
SIZE = {"BYTE": 1, "SINT": 1, "USINT": 1, "CHAR": 1, "LWORD": 8, "LINT": 8, "ULINT": 8, "LREAL": 8, "LTIME": 8, "LTOD": 8, "LDT": 8, "DT": 8, "DTL": 12}
SIZE.update({t: 4 for t in ("DWORD", "DINT", "UDINT", "REAL", "TIME", "TOD")})

for line in sys.stdin:
    what, kind, value = line.rstrip("\n").split(" ", 2)
    if what == "get":
        answer = SHOW.get(kind, str)(getattr(getters, "get_" + kind.lower())(bytearray.fromhex(value), 0))
    else:
        put = getattr(setters, "set_" + kind.lower(), None)
        if put is None:
            answer = "unserved"
        else:
            # Texts have room for ten characters.
            data = bytearray(SIZE.get(kind, {"STRING": 12, "WSTRING": 24}.get(kind, 2)))
            put(data, 0, TAKE.get(kind, int)(value), *([10] if kind.endswith("STRING") else []))
            answer = data.hex()
    print(f"> {answer}", flush=True)
