#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sbom.py VERSION LIBRARIES: the bill of materials of the self-contained program, as CycloneDX JSON on stdout.

LIBRARIES is the libraries.txt that static/build leaves: a checksum and a Debian source package a line. The
same input gives the same bytes: the serial number is made of the content, and the time is SOURCE_DATE_EPOCH.
"""
import hashlib
import os
import re
import sys
import uuid
from datetime import datetime, timezone

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

# As the packages' own copyright files name them.
LICENCES = {
    "musl": "MIT", "openssl": "Apache-2.0", "curl": "curl", "libdeflate": "MIT", "cjson": "MIT",
    "xxhash": "BSD-2-Clause", "sqlite3": "blessing",
}


def library(checksum: str, package: str) -> Component:
    name, version = re.fullmatch(r"(.+)_(.+)\.dsc", package).groups()
    purl = PackageURL("deb", "debian", name, version, {"arch": "source"})
    return Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string(),
                     licenses=[DisjunctiveLicense(id=LICENCES[name])],
                     hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)])


def main() -> None:
    version, path = sys.argv[1:]
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    libraries = [library(*line.split()) for line in lines]
    program = Component(name="faro-ingest", version=version, type=ComponentType.APPLICATION,
                        bom_ref=f"faro-ingest@{version}", licenses=[DisjunctiveLicense(id="Apache-2.0")])
    bom = Bom(components=libraries)
    bom.metadata.component = program
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    content = hashlib.sha256("\n".join([version, *lines]).encode()).digest()
    bom.serial_number = uuid.UUID(bytes=content[:16], version=5)
    bom.register_dependency(program, libraries)
    print(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_5).output_as_string(indent=2))


main()
