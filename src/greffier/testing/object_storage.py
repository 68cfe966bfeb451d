"""A real S3 server for tests: moto's, which enforces object lock and checks signatures with botocore's own code."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from greffier.testing.ports import free_port

BUCKET = "evidence"
_PATIENCE_S = 60.0
_SET_UP = 10  # actions before signatures are checked: a user, a role, two assumptions of it, the buckets
_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
_ROLE = "arn:aws:iam::123456789012:role/copier"
_TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"}]}'


class ObjectStorage(msgspec.Struct, frozen=True):
    """A running server with a bucket under object lock, one without, and a key that may do everything S3 allows."""

    url: str
    access_key: str
    secret_key: str
    temporary: tuple[tuple[str, str, str], ...] = ()
    """Key, secret and session token of sessions of a role with the same rights."""

    def client(self) -> Any:
        """A client that is not ours, with every right: what whoever stole the key could do."""
        return _client("s3", self.url, self.access_key, self.secret_key)


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """Run a server."""
    port = free_port()
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(_SET_UP)}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port, process)
        yield _set_up(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the S3 server did not start")


def _set_up(url: str) -> ObjectStorage:
    iam, s3, sts = (_client(service, url, "setup", "setup") for service in ("iam", "s3", "sts"))
    iam.create_user(UserName="copier")
    key = iam.create_access_key(UserName="copier")["AccessKey"]
    iam.put_user_policy(UserName="copier", PolicyName="all", PolicyDocument=_POLICY)
    iam.create_role(RoleName="copier", AssumeRolePolicyDocument=_TRUST)
    iam.put_role_policy(RoleName="copier", PolicyName="all", PolicyDocument=_POLICY)
    sessions = [sts.assume_role(RoleArn=_ROLE, RoleSessionName=f"copies-{n}")["Credentials"] for n in range(2)]
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="unlocked")
    s3.list_buckets()
    temporary = tuple((one["AccessKeyId"], one["SecretAccessKey"], one["SessionToken"]) for one in sessions)
    return ObjectStorage(url, key["AccessKeyId"], key["SecretAccessKey"], temporary)


def _client(service: str, url: str, access_key: str, secret_key: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
