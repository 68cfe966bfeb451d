"""How a content part is encrypted and committed to, apart from where it is stored.

A part is encrypted with AES-256-GCM; the tenant, the event and the part's name are authenticated with it, so that no
ciphertext can be moved elsewhere. The record keeps ``HMAC-SHA256(salt, part)`` with a salt of 32 random bytes that
lives only inside the ciphertext: while the part exists, the commitment proves it unchanged; once it is deleted or its
key destroyed, the commitment says nothing about it, not even to someone who guesses the text.
"""

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from greffier.audit.ports import ContentUnavailable

KEY_BYTES = 32
_SALT_BYTES = 32
_NONCE_BYTES = 12


def context_of(*names: str) -> bytes:
    """Authenticated data that binds a ciphertext to its place; unambiguous, because each name carries its length."""
    return b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in names)


def encrypt(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM; a random nonce stands before the ciphertext."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def decrypt(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The reverse of `encrypt`.

    Raises:
        ContentUnavailable: Another key, another place, or changed bytes.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise ContentUnavailable("the content was changed, or its key is not this one") from error


def seal_part(key: bytes, part: bytes, context: bytes) -> tuple[bytes, str]:
    """Encrypt a part; return the ciphertext and the commitment for the record (hex)."""
    salt = os.urandom(_SALT_BYTES)
    return encrypt(key, salt + part, context), _commit(salt, part)


def open_part(key: bytes, sealed: bytes, context: bytes) -> tuple[bytes, str]:
    """Decrypt a part; return it with the commitment computed anew, to be compared with the record.

    Raises:
        ContentUnavailable: It cannot be decrypted.
    """
    plain = decrypt(key, sealed, context)
    salt, part = plain[:_SALT_BYTES], plain[_SALT_BYTES:]
    return part, _commit(salt, part)


def _commit(salt: bytes, part: bytes) -> str:
    return hmac.new(salt, part, hashlib.sha256).hexdigest()
