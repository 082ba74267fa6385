"""Small servers in processes of their own, which can be stopped and killed: pymodbus, and a Redfish tree over HTTPS.

Run as ``python served.py modbus ADDRESS PORT`` or ``python served.py redfish ADDRESS PORT CERTIFICATE KEY TREE``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

USER, PASSWORD = "karaula", "k-read-it"


def registers() -> SimDevice:
    """Bits, and registers of every encoding: coils, discrete inputs, holding and input registers."""
    coils = [SimData(0, values=[True, False, True, False] * 4, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[False, True] * 8, datatype=DataType.BITS)]
    holding = [
        SimData(0, values=[215], datatype=DataType.UINT16),
        SimData(1, values=[-55], datatype=DataType.INT16),
        SimData(2, values=[70_000], datatype=DataType.UINT32),
        SimData(4, values=[-70_000], datatype=DataType.INT32),
        SimData(6, values=[21.5], datatype=DataType.FLOAT32),
        SimData(8, values=[float("nan")], datatype=DataType.FLOAT32),
        SimData(10, values=[32767], datatype=DataType.UINT16),
    ]
    inputs = [SimData(0, values=[305], datatype=DataType.UINT16)]
    return SimDevice(1, simdata=(coils, discrete, holding, inputs))


async def modbus(address: str, port: int) -> None:
    await ModbusTcpServer(registers(), address=(address, port)).serve_forever()


def redfish(address: str, port: int, certificate: str, key: str, tree: str) -> None:
    pages = json.loads(Path(tree).read_text())
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = pages.get(self.path.rstrip("/"))
            status = 401 if self.headers.get("Authorization") != wanted else 404 if page is None else 200
            body = json.dumps(page if status == 200 else {"error": {"code": "Base.1.8.GeneralError"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer((address, port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    kind, where, number, *rest = sys.argv[1:]
    if kind == "modbus":
        asyncio.run(modbus(where, int(number)))
    else:
        redfish(where, int(number), *rest)
