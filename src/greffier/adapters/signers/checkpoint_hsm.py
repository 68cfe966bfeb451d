"""Checkpoint signing with a P-256 key in a PKCS#11 token."""

from greffier.adapters.signers.pkcs11 import Pkcs11Signer
from greffier.audit.ports import SignerUnavailable
from greffier.config.signing import SignerError


class HsmCheckpointSigner(Pkcs11Signer):
    """`CheckpointSigner` in a token; the key's label is its name in the signature line."""

    def sign(self, message: bytes) -> bytes:
        """See `CheckpointSigner.sign`.

        Raises:
            SignerUnavailable: The token failed, twice.
        """
        try:
            return super().sign(message)
        except SignerError as error:
            raise SignerUnavailable(f"the token does not sign: {error}") from error
