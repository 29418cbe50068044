"""Verifies the first envelope of an attestations file with securesystemslib.

usage: dsse.py ATTESTATIONS THRESHOLD KEYID=HEX..

Prints the key IDs that it accepted, a line each. Exit status 1, with the reason, if it does not accept the envelope.
"""

import json
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey


def main():
    path, threshold, *keys = sys.argv[1:]
    with open(path, "rb") as attestations:
        envelope = Envelope.from_dict(json.loads(attestations.readline()))
    named = [key.rpartition("=") for key in keys]
    keys = [SSlibKey(keyid, "ed25519", "ed25519", {"public": public}) for keyid, _, public in named]
    try:
        accepted = envelope.verify(keys, int(threshold))
    except VerificationError as error:
        sys.exit(f"refused: {error}")
    for keyid in sorted(accepted):
        print(keyid)


main()
