"""Signatures: the examples of Amazon's own S3 documentation, and whatever request, signed as botocore signs it."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Theirs
from hypothesis import given
from hypothesis import strategies as st

from greffier.adapters.objects.sigv4 import Credentials, encoded_path, encoded_query, signed_headers
from greffier.adapters.objects.xml import BadXml, parse_xml

KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT_MS = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp() * 1000)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        ("GET", "/test.txt", "", [("range", "bytes=0-9")], b"",
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test$file.text", "",
         [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
         b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/", "lifecycle=", [], b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", "max-keys=2&prefix=J", [], b"",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_amazons_examples(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, signature: str
) -> None:
    signed = dict(signed_headers(KEY, "us-east-1", AT_MS, method, HOST, encoded_path(path), query, headers, body))
    assert signed["authorization"].endswith(f"Signature={signature}")


names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/"), min_size=1, max_size=20)


@given(names, st.dictionaries(names, names, max_size=3), st.binary(max_size=50))
def test_whatever_is_asked_is_signed_as_botocore_signs_it(key: str, query: dict[str, str], body: bytes) -> None:
    path, asked = encoded_path(f"/bucket/{key}"), encoded_query(list(query.items()))
    ours = dict(signed_headers(KEY, "eu-central-1", AT_MS, "PUT", "h:9", path, asked, [("x-amz-a", "b")], body))
    request = AWSRequest("PUT", f"http://h:9{path}{'?' if asked else ''}{asked}", data=body)
    request.headers["x-amz-a"] = "b"
    request.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    auth = S3SigV4Auth(Theirs(KEY.access_key, KEY.secret_key), "s3", "eu-central-1")
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert urlsplit(request.url).path == path
    assert ours["authorization"].rpartition("=")[2] == auth.signature(text, request)


def test_secrets_are_not_shown() -> None:
    assert KEY.secret_key not in repr(KEY)


@pytest.mark.parametrize("text", ["", "<a>", "<a></b>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "no"])
def test_answers_that_are_no_s3_answers_are_refused(text: str) -> None:
    with pytest.raises(BadXml):
        parse_xml(text.encode())
