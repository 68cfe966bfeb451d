"""Ceilings shared by several workers and machines through Valkey or Redis.

Workers lease room in chunks and spend it in memory, so most requests touch no network. Small ceilings are leased one
unit at a time. ADR 0033 has the bounds that hold while the server is out of reach.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from greffier.adapters.limits.wallet import Wallet
from greffier.core.clock import Clock
from greffier.core.ids import new_id
from greffier.limits.holds import OpenHolds
from greffier.limits.memory import longer
from greffier.limits.ports import Account, Demand, Hold, Level, Shortage

_LOG = logging.getLogger(__name__)
_LEASE = (Path(__file__).parent / "lease.lua").read_text()
_HEARTBEAT = (Path(__file__).parent / "heartbeat.lua").read_text()
_WORKERS_KEY = "greffier:workers"
_CHUNKS = 20  # leases a ceiling is cut into, per worker: a worker that falls silent holds back at most a 20th
_ALIVE_MS = 10_000  # after this silence a worker's slots are free again and it counts no more
_CONCURRENCY_RETRY_MS = 1000
_UNAVAILABLE_RETRY_MS = 1000
_MIN_REST_MS = 500
_MAX_REST_MS = 5000
_PER_CALL = 100
_ANSWER = 4  # numbers per account in the script's answer


class _Unreachable(Exception):  # noqa: N818 - named for the condition; never leaves this module
    """The server did not answer in time, or not as it should."""


class ValkeyLimitState:
    """A `LimitState` over a Valkey or Redis server; one per worker process."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        lease_ms: int = 1000,
        on_unavailable: Literal["local", "deny"] = "local",
        hold_ttl_s: float = 900.0,
        timeout_s: float = 0.05,
    ) -> None:
        """Connect lazily.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, and is never logged.
            clock: Monotonic for leases and holds; the server's own clock decides how rates refill.
            lease_ms: How long a lease may be spent; what is left then goes back.
            on_unavailable: Without the server, go on with a share of each ceiling, or refuse.
            hold_ttl_s: Seconds after which an unsettled hold is freed.
            timeout_s: Longest wait for the server, in seconds. A slow server is treated as a dead one.
        """
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._lease = self._redis.register_script(_LEASE)
        self._heartbeat = self._redis.register_script(_HEARTBEAT)
        self._clock = clock
        self._lease_ms = lease_ms
        self._alive_ms = max(_ALIVE_MS, 3 * lease_ms)
        self._deny = on_unavailable == "deny"
        self._timeout_s = timeout_s
        self._worker = new_id("worker")
        self._wallets: dict[str, Wallet] = {}
        self._open = OpenHolds(hold_ttl_s)
        self._lock = asyncio.Lock()
        self._workers = 0  # live workers when the server was last seen; 0 before the first time
        self._failures = 0
        self._rest_until = 0
        self._tender: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def reachable(self) -> bool:
        """Whether the last call to the server worked; for health and metrics."""
        return self._failures == 0

    async def reserve(self, demands: Sequence[Demand]) -> Hold | Shortage:
        """Debit all or none; asks the server only when a lease is used up or too old."""
        now_ms = self._now_ms()
        self._open.expire(now_ms, self._free)
        pairs: list[tuple[Wallet, int]] = []
        covered = True
        for account, amount in demands:
            if amount > account.limit:
                return Shortage(account, None)
            wallet = self._wallet(account, now_ms)
            pairs.append((wallet, amount))
            covered = covered and wallet.covers(amount, now_ms)
        if covered:
            _debit(pairs)
        else:
            shortage = await self._fetch(pairs)
            if shortage is not None:
                return shortage
        return self._open.open(tuple(demands), now_ms)

    def settle(self, hold: Hold, *, tokens: int | None, spend: int | None) -> None:
        """Replace what was reserved by what was used; the server hears of it with the next lease."""
        if hold.settled:
            return
        hold.settled = True
        now_ms = self._now_ms()
        for account, reserved in hold.demands:
            wallet = self._wallet(account, now_ms)
            if account.kind == "tokens" and tokens is not None:
                wallet.correct(tokens - reserved)
            elif account.kind == "concurrent" and not hold.expired:
                wallet.change(-reserved)
            elif account.kind == "spend":
                kept = 0 if hold.expired else reserved
                wallet.change((reserved if spend is None else spend) - kept)

    def level(self, account: Account) -> Level:
        """How full an account is, as far as this worker knows."""
        now_ms = self._now_ms()
        return self._wallet(account, now_ms).level(now_ms, self._clock.wall_ms())

    def restore(self, account: Account, micro: int) -> None:
        """Tell the server what the journal knows; it keeps the larger of that and its own count."""
        wallet = self._wallet(account, self._now_ms())
        wallet.floor += micro
        wallet.lease_until = 0

    async def close(self) -> None:
        """Give back what is leased and unused, and disconnect."""
        self._closed = True
        if self._tender is not None:
            self._tender.cancel()
            await asyncio.gather(self._tender, return_exceptions=True)
            self._tender = None
        for wallet in self._wallets.values():
            wallet.lease_until = 0
        if not self._resting():
            with contextlib.suppress(_Unreachable):  # what stays leased then runs out by itself
                await self._give_back()
                await self._call(self._heartbeat, [_WORKERS_KEY], [self._worker, 0])
        await self._redis.aclose()

    async def _fetch(self, pairs: list[tuple[Wallet, int]]) -> Shortage | None:
        """Lease what is missing and debit; None when done."""
        if self._resting() or (self._failures and self._lock.locked()):
            return self._alone(pairs)  # one request at a time finds out whether the server is back; no other waits
        async with self._lock:
            now_ms = self._now_ms()
            if all(wallet.covers(amount, now_ms) for wallet, amount in pairs):
                _debit(pairs)
                return None
            if self._resting():
                return self._alone(pairs)
            if self._tender is None:
                self._tender = asyncio.create_task(self._tend())
            for wallet, _ in pairs:
                wallet.prepare()
            _debit(pairs)  # before asking, so that nobody spends the same units while the answer is on its way
            try:
                if not self._workers:
                    await self._count_workers()
                shortage = await self._ask(pairs)
            except _Unreachable:
                _undo(pairs)
                return self._alone(pairs)
            except BaseException:
                _undo(pairs)
                raise
            if shortage is not None:
                _undo(pairs)
            return shortage

    def _alone(self, pairs: list[tuple[Wallet, int]]) -> Shortage | None:
        """Decide without the server."""
        now_ms = self._now_ms()
        for wallet, amount in pairs:
            if wallet.covers(amount, now_ms):
                continue
            # A worker that has never seen the server does not know how many others there are: no bound, no service.
            if self._deny or not self._workers or wallet.lacks_alone(amount, self._workers, now_ms):
                return Shortage(wallet.account, _UNAVAILABLE_RETRY_MS, unavailable=True)
        _debit(pairs)
        return None

    async def _ask(self, pairs: Sequence[tuple[Wallet, int]]) -> Shortage | None:
        """One call to the server about accounts of one tenant, for wallets that are debited already.

        Raises:
            _Unreachable: No usable answer.
        """
        keys: list[str] = []
        args: list[str | int] = [self._worker, self._alive_ms]
        for wallet, amount in pairs:
            account = wallet.account
            keys.append(_key(account))
            need = max(wallet.used - wallet.claim, 0) if amount else 0
            chunk = account.limit // (_CHUNKS * max(self._workers, 1))
            args += [
                "rate" if wallet.is_rate else account.kind,
                account.limit,
                wallet.claim,
                wallet.confirmed,
                need,
                chunk,
                account.until_ms,
                wallet.floor,
            ]
        answer = await self._call(self._lease, keys, args)
        if len(answer) != len(keys) * _ANSWER:
            self._failed(ValueError("the answer has the wrong length"))
        now_ms = self._now_ms()
        shortage: Shortage | None = None
        for place, (wallet, _) in enumerate(pairs):
            short, claim, taken, wait_ms = answer[place * _ANSWER : (place + 1) * _ANSWER]
            wallet.confirm(claim, taken, now_ms, self._lease_ms)
            if short:
                found = Shortage(wallet.account, self._retry_ms(wallet.account, wait_ms))
                shortage = found if shortage is None else longer(shortage, found)
        return shortage

    def _retry_ms(self, account: Account, wait_ms: int) -> int:
        if account.kind == "concurrent":
            return _CONCURRENCY_RETRY_MS
        if account.kind == "spend":
            return max(account.until_ms - self._clock.wall_ms(), 1)
        return max(wait_ms, 1)

    async def _count_workers(self) -> None:
        counted = await self._call(self._heartbeat, [_WORKERS_KEY], [self._worker, self._alive_ms])
        self._workers = max(counted[0], 1) if counted else 1

    async def _call(self, script: AsyncScript, keys: list[str], args: list[str | int]) -> list[int]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await script(keys=keys, args=args)
            numbers = [int(value) for value in answer]
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
            self._failed(error)
        if self._failures:
            _LOG.warning("shared limits: the server answers again")
        self._failures = 0
        return numbers

    def _failed(self, error: Exception) -> NoReturn:
        if not self._failures:
            _LOG.warning("shared limits: the server is out of reach (%s)", type(error).__name__)
        rest_ms = min(_MIN_REST_MS << min(self._failures, 8), _MAX_REST_MS)
        self._failures += 1
        self._rest_until = self._now_ms() + rest_ms
        raise _Unreachable from error

    async def _tend(self) -> None:
        """Give back leases that ran out and keep running requests' slots alive, while requests come and go."""
        # The driver can swallow a cancellation that comes together with an answer (Python 3.11's `wait_for` does), so
        # the loop looks for itself whether it is over; `close` would wait for ever.
        while not self._closed:
            await asyncio.sleep(self._lease_ms / 1000)
            self._open.expire(self._now_ms(), self._free)
            if not self._resting():
                with contextlib.suppress(_Unreachable):  # noted by the call itself; the next round tries again
                    await self._count_workers()
                    await self._give_back()

    async def _give_back(self) -> None:
        async with self._lock:
            now_ms = self._now_ms()
            tenants: dict[str, list[tuple[Wallet, int]]] = {}
            for wallet in self._wallets.values():
                if wallet.lease_until > now_ms:
                    continue
                wallet.prepare()
                holds_slots = wallet.account.kind == "concurrent" and wallet.used > 0
                if wallet.claim != wallet.used or wallet.confirmed != wallet.used or holds_slots:
                    tenants.setdefault(_tenant(wallet.account), []).append((wallet, 0))
            for pairs in tenants.values():
                for start in range(0, len(pairs), _PER_CALL):
                    batch = pairs[start : start + _PER_CALL]
                    for wallet, _ in batch:
                        wallet.claim = wallet.used
                    await self._ask(batch)
            self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        """Drop wallets of rates and slots that are idle and settled with the server, and of past periods."""
        wall_ms = self._clock.wall_ms()
        idle = now_ms - 2 * 60_000
        self._wallets = {
            key: wallet
            for key, wallet in self._wallets.items()
            if (wallet.account.until_ms > wall_ms if wallet.account.kind == "spend" else wallet.seen_at > idle)
            or wallet.claim != wallet.confirmed
            or (wallet.account.kind == "concurrent" and wallet.used > 0)
        }

    def _wallet(self, account: Account, now_ms: int) -> Wallet:
        wallet = self._wallets.get(account.key)
        if wallet is None:
            wallet = self._wallets[account.key] = Wallet(account, now_ms)
        wallet.account = account
        return wallet

    def _free(self, account: Account, reserved: int) -> None:
        self._wallet(account, self._now_ms()).change(-reserved)

    def _resting(self) -> bool:
        return self._failures > 0 and self._now_ms() < self._rest_until

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)


async def problem_with(url: str, *, timeout_s: float = 2.0) -> str:
    """What keeps us from a server, in words without its address or password; empty if it answers."""
    redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0))
    try:
        async with asyncio.timeout(timeout_s):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return f"the server does not answer ({type(error).__name__})"
    finally:
        await redis.aclose()
    return ""


def _debit(pairs: Sequence[tuple[Wallet, int]]) -> None:
    for wallet, amount in pairs:
        wallet.change(amount)


def _undo(pairs: Sequence[tuple[Wallet, int]]) -> None:
    for wallet, amount in pairs:
        wallet.change(-amount)


def _tenant(account: Account) -> str:
    return account.key.partition("/")[0]


def _key(account: Account) -> str:
    tenant, _, rest = account.key.partition("/")
    return f"greffier:{{{tenant}}}:limit:{rest}"  # the braces keep a tenant in one slot of a cluster
