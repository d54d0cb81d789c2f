#!/usr/bin/env python3
"""Brings the agent onto a host: fetches one artifact from S3, verifies its SHA-256, unpacks it and, at the first boot, runs its installer.
It runs before anything of Leasehold or of AWS is on the machine, so it needs Python's standard library alone, which cloud-init is written
in: credentials come from the instance's role (IMDSv2), the request is signed here (Signature Version 4). Nothing that failed is left behind,
and what was unpacked before is not fetched again.

usage: boot.py PARAMETERS               writes /etc/leasehold/parameters, fetches, unpacks, runs install.sh (cloud-init)
       boot.py --fetch KEY SHA256       fetches and unpacks that artifact of the host's own bucket; prints its folder (an upgrade)
PARAMETERS is a file of lines `name base64`. Exit code 0, or 1 with the reason on the last line of standard error.
"""
import base64
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

OPT = pathlib.Path(os.environ.get("LEASEHOLD_OPT", "/opt/leasehold"))
ETC = pathlib.Path(os.environ.get("LEASEHOLD_ETC", "/etc/leasehold"))
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
# A new instance may be up before its role's credentials, or its way to S3, are.
ATTEMPTS = 10
PAUSE_S = float(os.environ.get("LEASEHOLD_BOOT_PAUSE_S", "6"))
# No proxy of the environment: the metadata service is on this machine's link.
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Failed(Exception):
    """What went wrong, in words for a person who reads the boot log."""


def read_parameters(text):
    parameters = {}
    for line in text.splitlines():
        if line.strip():
            name, _, value = line.partition(" ")
            parameters[name] = base64.b64decode(value, validate=True).decode()
    return parameters


def metadata(path, token=None):
    if token is None:
        headers, method = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT"
    else:
        headers, method = {"X-aws-ec2-metadata-token": token}, "GET"
    request = urllib.request.Request(METADATA + "/latest/" + path, headers=headers, method=method)
    with OPEN(request, timeout=5) as answer:
        return answer.read().decode()


def credentials():
    token = metadata("api/token")
    role = metadata("meta-data/iam/security-credentials/", token).splitlines()[0]
    return json.loads(metadata("meta-data/iam/security-credentials/" + role, token))


def signed_get(region, bucket, key, role):
    """A GET of S3 with its signature, path style: a bucket's name may have dots, which no certificate covers."""
    suffix = ".amazonaws.com.cn" if region.startswith("cn-") else ".amazonaws.com"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "https://s3." + region + suffix).rstrip("/")
    path = "/" + urllib.parse.quote(bucket + "/" + key, safe="/-_.~")
    now = datetime.datetime.now(datetime.timezone.utc)
    headers = {
        "host": urllib.parse.urlsplit(endpoint).netloc,
        "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-security-token": role["Token"],
    }
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        ["GET", path, ""]
        + [name + ":" + headers[name] for name in sorted(headers)]
        + ["", names, headers["x-amz-content-sha256"]]
    )
    scope = "/".join([now.strftime("%Y%m%d"), region, "s3", "aws4_request"])
    signing = ("AWS4" + role["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    text = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        role["AccessKeyId"], scope, names, hmac.new(signing, text.encode(), hashlib.sha256).hexdigest(),
    )
    return urllib.request.Request(endpoint + path, headers=headers)


def fetch(parameters, key, sha256, target):
    bucket = parameters["artifact.bucket"]
    where = "s3://%s/%s" % (bucket, key)
    for attempt in range(1, ATTEMPTS + 1):
        digest = hashlib.sha256()
        try:
            request = signed_get(parameters["region"], bucket, key, credentials())
            with OPEN(request, timeout=60) as answer, open(target, "wb") as file:
                for block in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(block)
                    file.write(block)
            break
        except (OSError, ValueError, KeyError, IndexError) as error:
            detail = str(error)
            if isinstance(error, urllib.error.HTTPError):
                detail += " " + error.read(500).decode(errors="replace")
            if attempt == ATTEMPTS:
                raise Failed("%s could not be fetched: %s" % (where, detail)) from error
            print("leasehold: attempt %d to fetch %s: %s" % (attempt, where, detail), file=sys.stderr)
            time.sleep(PAUSE_S)
    if digest.hexdigest() != sha256:
        raise Failed("%s has SHA-256 %s; %s was expected" % (where, digest.hexdigest(), sha256))


def unpack(archive, sha256):
    """Into a folder named for its version, complete or not at all."""
    draft = pathlib.Path(tempfile.mkdtemp(prefix=".unpacking-", dir=OPT))
    try:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "tar_filter"):
                tar.extractall(draft, filter="tar")
            else:
                tar.extractall(draft)
        version = (draft / "VERSION").read_text().strip()
        if not version or "/" in version or version.startswith("."):
            raise Failed("the artifact's VERSION is %r" % version)
        (draft / ".sha256").write_text(sha256 + "\n")
        draft.chmod(0o755)
        # On disk before it has its name: what is there by that name counts as whole.
        os.sync()
        folder = OPT / version
        # The same version packed anew: out of the way at once, for an agent may run from it.
        if folder.exists():
            folder.rename(str(draft) + ".former")
        draft.rename(folder)
        return folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(str(draft) + ".former", ignore_errors=True)


def bring(parameters, key, sha256):
    OPT.mkdir(parents=True, exist_ok=True)
    for mark in OPT.glob("[!.]*/.sha256"):
        # Not by `current`, the link to one of them.
        if mark.read_text().strip() == sha256:
            return mark.parent.resolve()
    with tempfile.NamedTemporaryFile(dir=OPT, prefix=".fetching-") as archive:
        fetch(parameters, key, sha256, archive.name)
        return unpack(archive.name, sha256)


def boot(path):
    text = pathlib.Path(path).read_text()
    parameters = read_parameters(text)
    ETC.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = ETC / "parameters.new"
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.rename(ETC / "parameters")
    folder = bring(parameters, parameters["artifact.key"], parameters["artifact.sha256"])
    print("leasehold: %s is unpacked" % folder, flush=True)
    code = subprocess.call([str(folder / "install.sh"), str(ETC / "parameters")])
    if code != 0:
        raise Failed("install.sh of %s failed with exit code %d" % (folder, code))


def main(words):
    try:
        if len(words) == 1:
            boot(words[0])
        elif len(words) == 3 and words[0] == "--fetch":
            print(bring(read_parameters((ETC / "parameters").read_text()), words[1], words[2]))
        else:
            raise Failed("usage: boot.py PARAMETERS | boot.py --fetch KEY SHA256")
    except (Failed, OSError, ValueError, KeyError, tarfile.TarError) as error:
        print("leasehold: %s: %s" % (type(error).__name__, error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
