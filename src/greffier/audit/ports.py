"""Ports of the evidence: when each method is called is part of its contract."""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import msgspec

from greffier.core.context import RiskClass
from greffier.core.events import AnyEvent


class JournalUnavailable(Exception):  # noqa: N818 - named for the condition the fail-closed matrix asks about
    """The journal could not make an event durable. Nothing that depends on the event may happen."""


class ContentUnavailable(Exception):  # noqa: N818 - named for the condition
    """Content could not be stored or read: the store or its keys are out of reach, or the part was deleted."""


class SignerUnavailable(Exception):  # noqa: N818 - named for the condition
    """The key that signs checkpoints is out of reach. Nothing was signed; it is tried again."""


class Sequenced(msgspec.Struct, frozen=True):
    """An event as the journal keeps it: ``seq`` counts from 1 without gaps; ``seq - 1`` is its Merkle leaf index."""

    seq: int
    data: bytes


class JournalState(msgspec.Struct, frozen=True):
    """How a worker's journal is doing, for the operator.

    Attributes:
        why: Why the store cannot be written, or has not been told everything yet; empty while all is well.
        out_s: For how long, in seconds.
        waiting: Events that are acknowledged and wait on the local disk for the store.
        waiting_bytes: What they take there.
        refused: Events refused since it began.
    """

    why: str = ""
    out_s: float = 0.0
    waiting: int = 0
    waiting_bytes: int = 0
    refused: int = 0

    @property
    def out_of_reach(self) -> bool:
        """Whether the store cannot be written, or has not been told everything yet."""
        return bool(self.why)


class Journal(Protocol):
    """Append-only, durable, ordered. One per worker; any number of workers append to the same journal."""

    async def append(self, event: AnyEvent, *, risk: RiskClass = "high") -> None:
        """Return once the event is on stable storage.

        Called after the rulings it describes and before their effect. Many callers' events share one commit. The
        event is on its way before this waits for the first time, so cancelling the caller does not undo the write.

        Args:
            event: What happened.
            risk: Risk class of the use case it belongs to. Where the store is out of reach, a journal with a durable
                spool may keep events of the lower classes there for a bounded time; ``high`` is refused at once.

        Raises:
            JournalUnavailable: The event is not durable, and will not become so later.
        """
        ...

    def state(self) -> JournalState:
        """How it is doing; answers from memory and never waits."""
        ...

    async def close(self) -> None:
        """Flush and release."""
        ...


class JournalReader(Protocol):
    """Reads what was appended; used by the sealer, the command line and sinks. Blocking: not for the request path."""

    def size(self) -> int:
        """Number of events."""
        ...

    def first(self) -> int:
        """The lowest ``seq`` that is kept; more than 1 where retention has dropped what came before."""
        ...

    def read(self, start: int, limit: int) -> list[Sequenced]:
        """Events with ``seq >= start``, in order, at most ``limit``."""
        ...

    def find(self, request_id: str) -> list[Sequenced]:
        """All events of one request, in order."""
        ...

    def scan(self, start: int = 1) -> Iterator[Sequenced]:
        """All events from ``start`` on, in order, with bounded memory."""
        ...


class PartLabel(msgspec.Struct, frozen=True):
    """What is known about content parts besides their text: whose they are, and how long they may stay.

    Attributes:
        subject: Keyed reference of the data subject under whose own key the parts are kept; empty for nobody's.
        use_case: The use case they came up in.
        purpose: The purpose they were processed for.
        data_classes: Classes of data the use case may process; retention rules name them.
        residual: Names of the parts that are not the subject's and stay under the tenant's key.
    """

    subject: str = ""
    use_case: str = ""
    purpose: str = ""
    data_classes: tuple[str, ...] = ()
    residual: tuple[str, ...] = ()


UNLABELLED = PartLabel()


class Leader(Protocol):
    """Says which of several machines does what only one may do at a time, such as sealing."""

    def leads(self) -> bool:
        """Whether it is this one, at this moment. Blocking; asked before each piece of work."""
        ...

    def close(self) -> None:
        """Let another one lead."""
        ...


class ContentStore(Protocol):
    """Content parts, encrypted, apart from the log, so that they can be deleted without touching it."""

    async def put(
        self, tenant: str, event_id: str, parts: dict[str, bytes], label: PartLabel = UNLABELLED
    ) -> dict[str, tuple[str, str]]:
        """Encrypt and store parts; return per part its store id and salted commitment (HMAC-SHA256, hex).

        Raises:
            ContentUnavailable: Nothing was stored.
        """
        ...


class KeyWrapper(Protocol):
    """Encrypts data keys under a root key that never leaves its place: a file now, an HSM or a KMS later."""

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key; ``purpose`` must be given again to unwrap it."""
        ...

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt a key.

        Raises:
            ContentUnavailable: It was not wrapped by this root key for this purpose.
        """
        ...


class CheckpointSigner(Protocol):
    """Signs checkpoint notes (C2SP signed-note); P-256 from a key file or an HSM."""

    @property
    def name(self) -> str:
        """Key name as it stands in the signature line."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 signature over SHA-256 of the message, ASN.1 DER.

        Raises:
            SignerUnavailable: The key cannot be used now.
        """
        ...

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        ...


class EventStream(Protocol):
    """A source of new events for sinks, with a durable cursor."""

    def follow(self, cursor: int) -> AsyncIterator[Sequenced]:
        """Yield events after ``cursor`` as they become durable."""
        ...
