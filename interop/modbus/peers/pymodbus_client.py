"""Asks a Modbus TCP server, by pymodbus, what pymodbus can ask, and prints one line an answer: what was asked, a colon, and the
values or the exception code. Usage: pymodbus_client.py PORT UNIT [rtu]"""
import sys

from pymodbus.client import ModbusTcpClient
from pymodbus.mei_message import ReadDeviceInformationRequest
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer

rtu = sys.argv[3:] == ["rtu"]
client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]), framer=ModbusRtuFramer if rtu else ModbusSocketFramer)
unit = int(sys.argv[2])
assert client.connect()


def show(what, a, n, answer, values=None):
    if answer.isError():
        print(f"{what} {a} {n}: error {answer.exception_code}")
    elif values is None:
        print(f"{what} {a} {n}: ok")
    else:
        print(f"{what} {a} {n}: " + " ".join(str(int(v)) for v in values))


def registers(what, read, a, n):
    answer = read(a, n, slave=unit)
    show(what, a, n, answer, getattr(answer, "registers", None))


def bits(what, read, a, n):
    answer = read(a, n, slave=unit)
    show(what, a, n, answer, getattr(answer, "bits", [])[:n])


for a in (0, 1, 100, 9999, 65535 - 124):
    for n in (1, 2, 7, 124, 125):
        registers("holding", client.read_holding_registers, a, n)
        registers("input", client.read_input_registers, a, n)
for a in (0, 1, 100, 9999):
    for n in (1, 8, 9, 1999, 2000):
        bits("coil", client.read_coils, a, n)
        bits("discrete", client.read_discrete_inputs, a, n)
registers("holding", client.read_holding_registers, 65535, 2)

show("write register", 500, 1, client.write_register(500, 12345, slave=unit))
registers("holding", client.read_holding_registers, 499, 3)
show("write coil", 501, 1, client.write_coil(501, False, slave=unit))
show("write coil", 502, 1, client.write_coil(502, True, slave=unit))
bits("coil", client.read_coils, 500, 4)
show("write registers", 600, 123, client.write_registers(600, [40000 + i for i in range(123)], slave=unit))
registers("holding", client.read_holding_registers, 599, 125)
show("write coils", 3000, 1968, client.write_coils(3000, [i % 2 == 1 for i in range(1968)], slave=unit))
bits("coil", client.read_coils, 2999, 1970)
if not rtu:  # pymodbus 3.0 knows the length of this answer only with an MBAP header
    show("mask", 500, 1, client.mask_write_register(address=500, and_mask=0x00F2, or_mask=0x0025, slave=unit))
    registers("holding", client.read_holding_registers, 500, 1)
if not rtu:  # nor the lengths of these
    answer = client.readwrite_registers(
        read_address=698, read_count=125, write_address=700, write_registers=[50000 + i for i in range(121)], slave=unit
    )
    show("read-write", 698, 125, answer, getattr(answer, "registers", None))
    answer = client.execute(ReadDeviceInformationRequest(1, 0, slave=unit))
    if answer.isError():
        print(f"device id: error {answer.exception_code}")
    else:
        print("device id: " + " ".join(str(k) for k in sorted(answer.information)))
client.close()
