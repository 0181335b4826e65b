#!/usr/bin/env python3
"""Validates a CycloneDX 1.6 document by its JSON schema, and an SPDX 2.3 document by the rules of SPDX's own tools.

Usage: sbom-check.py FILE.cdx.json FILE.spdx.json, with cyclonedx-python-lib[json-validation] and spdx-tools installed (ci/sbom)."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def main(cyclonedx: str, spdx: str) -> int:
    with open(cyclonedx, encoding="utf-8") as file:
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    problems = [f"{cyclonedx}: {error}"] if error else []
    problems += [f"{spdx}: {message.validation_message}" for message in validate_full_spdx_document(parse_file(spdx))]
    print("\n".join(problems[:20]) or "both documents are valid")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
