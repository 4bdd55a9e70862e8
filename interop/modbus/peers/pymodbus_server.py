"""A Modbus TCP server on pymodbus with the image that our simulator documents. Usage: pymodbus_server.py PORT [rtu]"""
import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server import StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer


async def main(port, framer):
    block = ModbusSequentialDataBlock
    image = ModbusSlaveContext(
        di=block(0, [a % 5 == 0 for a in range(65536)]),
        co=block(0, [a % 3 == 0 for a in range(65536)]),
        hr=block(0, list(range(65536))),
        ir=block(0, [65535 - a for a in range(65536)]),
        zero_mode=True,
    )
    identity = ModbusDeviceIdentification()
    identity.VendorName = "pymodbus"
    identity.ProductCode = "PM"
    identity.MajorMinorRevision = "3.0"
    await StartAsyncTcpServer(
        context=ModbusServerContext(slaves=image, single=True), identity=identity, address=("127.0.0.1", port), framer=framer
    )


asyncio.run(main(int(sys.argv[1]), ModbusRtuFramer if sys.argv[2:] == ["rtu"] else ModbusSocketFramer))
