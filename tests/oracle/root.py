"""Walks a chain of roots with python-tuf, as a TUF client that was shipped with the first root would.

usage: root.py PINNED NOW FLOOR FIRST.root.json NEXT.root.json..

Each root is verified by the one before it and by itself. PINNED is the SHA-256 of the canonical signed part of the first
root, which stands for shipping that root; NOW (YYYY-MM-DDTHH:MM:SSZ) is when the last one must not have expired; FLOOR is
the newest version that the client has seen. Prints `VERSION EXPIRES DIGEST` for each and the policy that the last one
names. Exit status 1, with the reason, at the first that is not verified.
"""

import hashlib
import sys
from datetime import datetime, timezone

from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root


def main():
    pinned, now, floor, *paths = sys.argv[1:]
    now = datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    trusted = None
    for path in paths:
        with open(path, "rb") as file:
            data = file.read()
        try:
            root = Metadata[Root].from_bytes(data)
            for judge in [trusted, root]:
                if judge is not None:
                    judge.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
            if trusted is not None and root.signed.version != trusted.signed.version + 1:
                raise RepositoryError(f"version {root.signed.version} after {trusted.signed.version}")
            digest = hashlib.sha256(encode_canonical(root.signed.to_dict()).encode()).hexdigest()
            if trusted is None and digest != pinned:
                raise RepositoryError("another first root")
        except RepositoryError as error:
            sys.exit(f"refused: {path}: {error}")
        trusted = root
        print(root.signed.version, root.signed.expires.strftime("%Y-%m-%dT%H:%M:%SZ"), digest)
    if trusted.signed.version < int(floor):
        sys.exit(f"refused: version {trusted.signed.version}, {floor} was seen")
    if trusted.signed.is_expired(now):
        sys.exit("refused: expired")
    extension = trusted.signed.unrecognized_fields["x-sealift"]
    print("policy", extension["policy"]["sha256"], extension["policy"]["length"])


main()
