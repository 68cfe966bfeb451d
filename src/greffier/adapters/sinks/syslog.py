"""A sink that speaks syslog over TLS (RFC 5425): frames of ``LENGTH SPACE MESSAGE`` on one connection.

Syslog has no acknowledgement, and in TLS 1.3 a server refuses a client's certificate only after the client's handshake
has ended, so that the first writes succeed into nowhere. Therefore:

* a new connection is used only after the server had time to refuse it and did not;
* a batch counts as delivered once the server's TCP has acknowledged every byte and the connection is still open;
* when a connection turns out to be dead, the batch before is sent again as well.

What a receiver loses in a crash of its own between acknowledging bytes and storing them, no sender can know; receivers
see such gaps by ``seq`` and ``prev``.
"""

import asyncio
import contextlib
import fcntl
import ssl
import struct
import termios
from collections.abc import Sequence

from greffier.audit.sinks import Parcel, SinkUnavailable

_REFUSAL_S = 0.3
_AFTERMATH_S = 0.05
_CONNECT_S = 10.0
_ACKNOWLEDGED_S = 20.0
_LOOK_S = 0.005
_CHUNK = 262_144


class SyslogSink:
    """Sends framed messages.

    Args:
        host: Of the receiver.
        port: Of the receiver.
        tls: Client context; None only on this machine.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._watch: asyncio.Task[bytes] | None = None
        self._last: list[Parcel] = []

    async def probe(self) -> None:
        """See `Sink.probe`: the receiver accepts us, our certificate included."""
        await self._connected()

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`: acknowledged by the receiver's TCP, on a connection that stayed open."""
        again = self._last if self._broken() else []
        writer = await self._connected()
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_S):
                await self._write(writer, [*again, *parcels])
                await self._acknowledged(writer)
        except TimeoutError:
            await self._drop()
            raise SinkUnavailable(f"{self._name} does not acknowledge what it is sent") from None
        except (OSError, ssl.SSLError) as error:
            await self._drop()
            raise SinkUnavailable(f"{self._name} broke off: {_words(error)}") from error
        self._last = list(parcels)

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._drop()
        self._last = []

    @property
    def _name(self) -> str:
        return f"{self._host}:{self._port}"

    async def _write(self, writer: asyncio.StreamWriter, parcels: Sequence[Parcel]) -> None:
        frames = b"".join(b"%d %s" % (len(parcel.data), parcel.data) for parcel in parcels)
        for start in range(0, len(frames), _CHUNK):
            writer.write(frames[start : start + _CHUNK])
            await writer.drain()

    async def _acknowledged(self, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        while transport.get_write_buffer_size() or _unacknowledged(transport):
            if self._broken():
                raise ConnectionResetError("the receiver closed the connection")
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_AFTERMATH_S)
        if self._broken():
            raise ConnectionResetError("the receiver closed the connection")

    async def _connected(self) -> asyncio.StreamWriter:
        if self._link is not None and not self._broken():
            return self._link[1]
        await self._drop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except TimeoutError:
            raise SinkUnavailable(f"{self._name} does not answer") from None
        except (OSError, ssl.SSLError) as error:
            raise SinkUnavailable(f"{self._name} cannot be connected to: {_words(error)}") from error
        self._link = (reader, writer)
        self._watch = asyncio.create_task(reader.read(1), name="syslog-watch")  # receivers never speak: it ends at EOF
        await asyncio.wait([self._watch], timeout=_REFUSAL_S)
        if self._broken():
            reason = _ending(self._watch)
            await self._drop()
            raise SinkUnavailable(f"{self._name} refuses the connection ({reason}); check the client certificate")
        return writer

    def _broken(self) -> bool:
        return self._watch is not None and self._watch.done()

    async def _drop(self) -> None:
        watch, link = self._watch, self._link
        self._watch = self._link = None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if link is not None:
            link[1].close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1):
                    await link[1].wait_closed()


def _unacknowledged(transport: asyncio.WriteTransport) -> int:
    """Bytes in the kernel's send queue that the peer's TCP has not acknowledged (Linux ``SIOCOUTQ``)."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        raise ConnectionResetError("the connection is gone")
    (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return int(count)


def _ending(watch: "asyncio.Task[bytes]") -> str:
    if watch.cancelled():
        return "closed"
    error = watch.exception()
    return "closed" if error is None else _words(error)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
