"""Walks a chain of roots with python-tuf: each verified by the one before it and by itself.

usage: root.py FIRST.root.json NEXT.root.json..

Prints `VERSION EXPIRES DIGEST` for each, the digest that of the canonical signed part, and the policy that the last one
names. Exit status 1, with the reason, at the first that is not verified.
"""

import hashlib
import sys

from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root


def main():
    trusted = None
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            data = file.read()
        try:
            root = Metadata[Root].from_bytes(data)
            for judge in [trusted, root]:
                if judge is not None:
                    judge.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
            if trusted is not None and root.signed.version != trusted.signed.version + 1:
                raise RepositoryError(f"version {root.signed.version} after {trusted.signed.version}")
        except RepositoryError as error:
            sys.exit(f"refused: {path}: {error}")
        trusted = root
        digest = hashlib.sha256(encode_canonical(root.signed.to_dict()).encode()).hexdigest()
        print(root.signed.version, root.signed.expires.strftime("%Y-%m-%dT%H:%M:%SZ"), digest)
    extension = trusted.signed.unrecognized_fields["x-sealift"]
    print("policy", extension["policy"]["sha256"], extension["policy"]["length"])


main()
