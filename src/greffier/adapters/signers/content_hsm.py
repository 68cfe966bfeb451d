"""The root key of captured content in a PKCS#11 token: it wraps the epoch keys there and never leaves."""

import hashlib
import os
import threading
from typing import Any

import pkcs11
from pkcs11 import exceptions
from pkcs11.mechanisms import GCMParams

from greffier.audit.content import KEY_BYTES
from greffier.audit.ports import ContentUnavailable

_NONCE_BYTES = 12
_MARK = b"\x01"  # wrapped in a token; what the file's root wraps has another length
_ID_BYTES = 8


class HsmKeyWrapper:
    """`KeyWrapper` with an AES-256 key in a token (CKM_AES_GCM, the purpose authenticated). Safe for several threads.

    What it wraps names the key by its label, so that after a change of root each key is asked for its own only.
    """

    def __init__(self, module: str, token: str, key: str, pin: str) -> None:
        """Open the token and prove that the key works and cannot be taken out.

        Args:
            module: Path of the vendor's PKCS#11 library.
            token: Label of the token.
            key: Label of the AES key.
            pin: The user PIN.

        Raises:
            ContentUnavailable: The token, the key or the PIN is not usable.
        """
        self._module = module
        self._token = token
        self._label = key
        self._pin = pin
        self._prefix = _MARK + hashlib.sha256(key.encode()).digest()[:_ID_BYTES]
        self._lock = threading.Lock()
        self._session: Any = None
        self._key: Any = None
        try:
            self._open()
            self._prove()
        except exceptions.PKCS11Error as error:
            raise self._unusable(error) from error

    def __repr__(self) -> str:
        return f"HsmKeyWrapper({self._token}/{self._label})"

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See `KeyWrapper.wrap`.

        Raises:
            ContentUnavailable: The token failed, twice.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return self._prefix + nonce + self._ask("encrypt", key, nonce, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See `KeyWrapper.unwrap`."""
        if not wrapped.startswith(self._prefix):
            raise ContentUnavailable(f"it was not wrapped by the root key '{self._label}'")
        body = wrapped[len(self._prefix) :]
        return self._ask("decrypt", body[_NONCE_BYTES:], body[:_NONCE_BYTES], purpose)

    def close(self) -> None:
        """End the session with the token."""
        with self._lock:
            self._drop()

    def _ask(self, what: str, data: bytes, nonce: bytes, purpose: bytes) -> bytes:
        """Have the token do it; a session that the token dropped is opened again, once."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._key is None:
                        self._open()
                    work = getattr(self._key, what)
                    parameters = GCMParams(nonce, purpose)
                    return bytes(work(data, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters))
                except exceptions.PKCS11Error as error:
                    self._drop()
                    if last:
                        raise self._unusable(error) from error
        raise AssertionError("unreachable")

    def _open(self) -> None:
        try:
            library = pkcs11.lib(self._module)
        except RuntimeError as error:
            raise ContentUnavailable(f"the PKCS#11 module {self._module} cannot be loaded") from error
        token = library.get_token(token_label=self._token)
        try:
            self._session = token.open(user_pin=self._pin)
        except exceptions.UserAlreadyLoggedIn:  # logins belong to the process: another key here holds the token open
            self._session = token.open()
        self._key = self._session.get_key(
            object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=self._label
        )

    def _drop(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            try:
                session.close()
            except exceptions.PKCS11Error:
                return  # the token dropped the session first, which is what was wanted

    def _prove(self) -> None:
        if self._key.key_length != KEY_BYTES * 8:
            raise ContentUnavailable(f"the root key '{self._label}' is not an AES key of {KEY_BYTES * 8} bits")
        if self._key[pkcs11.Attribute.EXTRACTABLE] or not self._key[pkcs11.Attribute.SENSITIVE]:
            raise ContentUnavailable(f"the root key '{self._label}' could be taken out of the token; make another")
        purpose = b"greffier.self-test/1"
        key = os.urandom(KEY_BYTES)
        if self.unwrap(self.wrap(key, purpose), purpose) != key:
            raise ContentUnavailable(f"the root key '{self._label}' does not give back what it wrapped")

    def _unusable(self, error: exceptions.PKCS11Error) -> ContentUnavailable:
        reasons: dict[type[Exception], str] = {
            exceptions.PinIncorrect: "the token refused the PIN",
            exceptions.PinLocked: "the token has locked its PIN",
            exceptions.NoSuchToken: f"there is no token '{self._token}'",
            exceptions.NoSuchKey: f"the token has no AES key '{self._label}'",
            exceptions.MultipleObjectsReturned: f"several keys are called '{self._label}'",
            exceptions.MechanismInvalid: "the token cannot encrypt with AES-GCM",
        }
        return ContentUnavailable(f"the content's root key: {reasons.get(type(error), 'the token failed')}")
