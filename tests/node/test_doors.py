"""The doors of a node: how replies leave them."""

import asyncio

from puna.node.doors import Serving, WholeReplies, open_doors


class Socket(asyncio.Protocol):
    """A client that notes what came with each reading of its socket."""

    def __init__(self):
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def data_received(self, data):
        self.pieces.put_nowait(data)

    def connection_lost(self, error):
        self.pieces.put_nowait(b"")

    async def piece(self) -> bytes:
        return await asyncio.wait_for(self.pieces.get(), 10)


async def asking(application):
    """The server, transport and client of a connection to a door behind which is `application`."""
    doors = open_doors("127.0.0.1", 0, ["gateway"])
    serving = Serving(doors, {"gateway": application})
    await serving.start()
    host, port = doors.sockets["gateway"].getsockname()
    transport, client = await asyncio.get_running_loop().create_connection(Socket, host, port)
    return serving, transport, client


class Sent:
    """A transport that notes what it is told to send, each time."""

    def __init__(self):
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data):
        self.sent.append(bytes(data))

    def writelines(self, parts):
        self.sent.append(b"".join(parts))

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


async def test_a_head_leaves_with_what_follows_it_at_once():
    sent = Sent()
    transport = WholeReplies(sent, asyncio.get_running_loop())
    for body in (b"hello", memoryview(b"hello")):
        transport.write(HEAD)
        transport.write(body)
        transport.write(body)
        await asyncio.sleep(0)
        assert sent.sent == [HEAD + b"hello", b"hello"]
        sent.sent.clear()


async def test_a_head_that_nothing_follows_leaves_by_itself():
    sent = Sent()
    transport = WholeReplies(sent, asyncio.get_running_loop())
    transport.write(HEAD)
    assert sent.sent == []
    await asyncio.sleep(0)
    assert sent.sent == [HEAD]
    transport.write(HEAD)
    transport.close()
    assert sent.sent == [HEAD, HEAD] and sent.closed
    await asyncio.sleep(0)
    assert sent.sent == [HEAD, HEAD]


async def test_nothing_is_sent_on_a_connection_that_is_gone():
    sent = Sent()
    transport = WholeReplies(sent, asyncio.get_running_loop())
    transport.write(HEAD)
    sent.closed = True
    await asyncio.sleep(0)
    assert sent.sent == []


async def test_replies_reach_the_client_whole():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": memoryview(b"hello")})

    serving, transport, client = await asking(application)
    for _ in range(3):
        transport.write(b"GET / HTTP/1.1\r\nHost: puna\r\n\r\n")
        reply = await client.piece()
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n") and reply.endswith(b"\r\n\r\nhello")
    transport.write(b"nonsense\r\n\r\n")
    piece = await client.piece()
    assert piece.startswith(b"HTTP/1.1 400 ") and b"Invalid HTTP request" in piece
    assert await client.piece() == b""
    await serving.stop()


async def test_the_head_of_a_stream_does_not_wait_for_its_first_news():
    news = asyncio.Event()

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await news.wait()
        await send({"type": "http.response.body", "body": b"news", "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b""), "more_body": False})

    serving, transport, client = await asking(application)
    transport.write(b"GET / HTTP/1.1\r\nHost: puna\r\nConnection: close\r\n\r\n")
    assert (await client.piece()).endswith(b"transfer-encoding: chunked\r\n\r\n")
    news.set()
    rest = b""
    while piece := await client.piece():
        rest += piece
    assert rest == b"4\r\nnews\r\n0\r\n\r\n"
    await serving.stop()


async def test_a_reply_without_a_body_leaves_before_its_connection_closes():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    serving, transport, client = await asking(application)
    transport.write(b"HEAD / HTTP/1.1\r\nHost: puna\r\nConnection: close\r\n\r\n")
    assert (await client.piece()).endswith(b"connection: close\r\n\r\n")
    assert await client.piece() == b""
    await serving.stop()
