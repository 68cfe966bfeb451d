"""TLS for outbound connections. Verification cannot be switched off."""

import os
import ssl


def tls_context(ca_file: str | None = None, cert_file: str | None = None, key_pem: str | None = None) -> ssl.SSLContext:
    """Build a client context: TLS 1.2 or newer, host names checked.

    Args:
        ca_file: PEM file with the only authorities to trust; None trusts the system's.
        cert_file: PEM chain of our client certificate.
        key_pem: Its private key; None when ``cert_file`` holds it too.

    Raises:
        OSError: A file is missing or holds no usable certificate or key (``ssl.SSLError`` is an ``OSError``).
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if cert_file is None:
        return context
    if key_pem is None:
        context.load_cert_chain(cert_file)
        return context
    # OpenSSL's loader wants a path; an anonymous memory file keeps a key that came from the environment off the disk.
    memory = os.memfd_create("client-key", os.MFD_CLOEXEC)
    try:
        os.write(memory, key_pem.encode())
        context.load_cert_chain(cert_file, f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context
