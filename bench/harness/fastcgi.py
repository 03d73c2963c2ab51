# SPDX-License-Identifier: Apache-2.0
"""A FastCGI client for one kept connection: beacons one after another, as nginx would hand them on."""

import socket
import struct

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
KEEP = 1
RESPONDER = 1


def record(kind, content):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def stream(kind, content):
    """The records of one stream, the empty one that ends it included."""
    step = 32768
    whole = [record(kind, content[at:at + step]) for at in range(0, len(content), step)]
    return b"".join(whole) + record(kind, b"")


def length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def params(variables):
    content = b""
    for name, value in variables.items():
        name, value = name.encode(), value.encode()
        content += length(len(name)) + length(len(value)) + name + value
    return content


def beacon(body, coding, key=""):
    """One whole request as bytes, with the variables of nginx/faro-location.conf."""
    variables = {
        "FARO_ENDPOINT": "collect",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/faro/collect",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_HOST": "app.example",
        "HTTP_ORIGIN": "https://app.example",
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_CONTENT_ENCODING": coding if coding != "plain" else "",
        "HTTP_X_FARO_SESSION_ID": "cFeWDkQ0aN",
        "HTTP_IDEMPOTENCY_KEY": key,
        "HTTP_TRACEPARENT": "",
    }
    begin = record(BEGIN, struct.pack(">HB5x", RESPONDER, KEEP))
    return begin + stream(PARAMS, params(variables)) + stream(STDIN, body)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")

    def exchange(self, request):
        """Sends the bytes of beacon(); → the responder's answer."""
        self.socket.sendall(request)
        answer = b""
        while True:
            head = self.reader.read(8)
            if len(head) < 8:
                raise ConnectionError("the responder hung up")
            _, kind, _, size, padding, _ = struct.unpack(">BBHHBB", head)
            content = self.reader.read(size + padding)[:size]
            if kind == STDOUT:
                answer += content
            elif kind == END:
                return answer

    def close(self):
        self.reader.close()
        self.socket.close()
