"""A P-256 private key that never leaves a PKCS#11 token: an HSM, a smart card, SoftHSM."""

import hashlib
from typing import Any

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import exceptions
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature

from greffier.config.signing import SignerError

_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.PinIncorrect, "The token refused the PIN.", "Correct the PIN before the token locks it."),
    (exceptions.PinLocked, "The token has locked its PIN.", "Have the token's security officer unlock it."),
    (exceptions.NoSuchToken, "There is no such token.", "Check its label with the vendor's tool, or pkcs11-tool -L."),
    (exceptions.MultipleTokensReturned, "Several tokens have this label.", "Give the token a label of its own."),
    (exceptions.NoSuchKey, "The token has no such EC key pair.", "Check the label of the private and the public key."),
    (exceptions.MultipleObjectsReturned, "Several keys have this label.", "Give the key pair a label of its own."),
    (exceptions.MechanismInvalid, "The token cannot sign with ECDSA.", "Use a token that supports CKM_ECDSA."),
    (exceptions.PKCS11Error, "The token failed.", "Check that it is present and its vendor's software runs."),
)


class Pkcs11Signer:
    """Signs inside the token. Not safe for use from several threads at once, as PKCS#11 sessions are not."""

    def __init__(self, module: str, token: str, key: str, pin: str) -> None:
        """Open the token and prove that the key pair works.

        Args:
            module: Path of the vendor's PKCS#11 library.
            token: Label of the token.
            key: Label that the private and the public key share.
            pin: The user PIN.

        Raises:
            SignerError: The token, the key or the PIN is not usable.
        """
        self._module = module
        self._token = token
        self._label = key
        self._pin = pin
        self._session: Any = None
        try:
            self._open()
            self._public_der = self._read_public_key()
            self._prove()
        except exceptions.PKCS11Error as error:
            self.close()
            raise _explained(error) from error
        except SignerError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Pkcs11Signer({self._token}/{self._label})"

    @property
    def name(self) -> str:
        """Label of the key."""
        return self._label

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature over SHA-256 of the message, ASN.1 DER.

        A session that the token dropped is opened again, once.

        Raises:
            SignerError: The token failed.
        """
        digest = hashlib.sha256(message).digest()
        try:
            return self._sign(digest)
        except exceptions.PKCS11Error:
            self.close()
        try:
            self._open()
            return self._sign(digest)
        except exceptions.PKCS11Error as error:
            raise _explained(error) from error

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return self._public_der

    def close(self) -> None:
        """End the session with the token."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except exceptions.PKCS11Error:
                return  # the token dropped the session first, which is what was wanted

    def _open(self) -> None:
        try:
            library = pkcs11.lib(self._module)
        except RuntimeError as error:
            raise SignerError(
                f"The PKCS#11 module {self._module} cannot be loaded.",
                "Name the vendor's library file (ending in .so).",
            ) from error
        token = library.get_token(token_label=self._token)
        try:
            self._session = token.open(user_pin=self._pin)
        except exceptions.UserAlreadyLoggedIn:  # logins belong to the process: another signer here holds the token open
            self._session = token.open()
        self._key = self._session.get_key(
            object_class=pkcs11.ObjectClass.PRIVATE_KEY, key_type=pkcs11.KeyType.EC, label=self._label
        )

    def _sign(self, digest: bytes) -> bytes:
        if self._session is None:
            self._open()
        raw = self._key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        return bytes(encode_ecdsa_signature(raw))

    def _read_public_key(self) -> bytes:
        public = self._session.get_key(
            object_class=pkcs11.ObjectClass.PUBLIC_KEY, key_type=pkcs11.KeyType.EC, label=self._label
        )
        return bytes(encode_ec_public_key(public))

    def _prove(self) -> None:
        public = load_der_public_key(self._public_der)
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise SignerError(f"The key '{self._label}' is not a P-256 key.", "Generate one on the curve secp256r1.")
        message = b"greffier.self-test/1\n"
        try:
            public.verify(self.sign(message), message, ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise SignerError(
                f"The public and the private key labelled '{self._label}' do not belong together.",
                "Give each key pair a label of its own.",
            ) from error


def _explained(error: exceptions.PKCS11Error) -> SignerError:
    reason, remedy = next((reason, remedy) for kind, reason, remedy in _REASONS if isinstance(error, kind))
    return SignerError(reason, remedy)
