"""Parses the statement of every envelope of an attestations file with in-toto-attestation.

usage: statement.py ATTESTATIONS

Prints `PREDICATE-TYPE SUBJECT DIGEST` for every subject. Exit status 1, with the reason, if one is no valid statement.
"""

import base64
import json
import sys

import google.protobuf.json_format as json_format
import in_toto_attestation.v1.statement_pb2 as statement_pb2
from in_toto_attestation.v1.statement import Statement


def main():
    with open(sys.argv[1], "rb") as attestations:
        lines = attestations.readlines()
    for line in lines:
        text = base64.b64decode(json.loads(line)["payload"], validate=True)
        try:
            parsed = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
            parsed.validate()
        except (ValueError, json_format.ParseError) as error:
            sys.exit(f"refused: {error}")
        for subject in parsed.pb.subject:
            print(parsed.pb.predicate_type, subject.name, subject.digest["sha256"])


main()
