# SPDX-License-Identifier: Apache-2.0
"""Reads manifests from standard input, validates each against the schemas of the versions of Kubernetes that are its
arguments, strictly, and writes what is wrong, one problem a line. Kinds that Kubernetes itself does not know are
validated against their definitions in the folder FARO_HELM_CRDS; the Prometheus operator's are left to the caller."""

import functools
import os
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

import manifests

LEFT_TO_THE_CALLER = "monitoring.coreos.com/"

# It reads all definitions of a version for every manifest: most of the time that this takes.
kubernetes_validate.utils.schema_contents = functools.lru_cache(kubernetes_validate.utils.schema_contents)


def strict(schema):
    """The schema of a definition, which refuses what it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = "properties" in schema and "type" in schema
    return {
        **({"additionalProperties": False} if closed else {}),
        **{key: strict(value) for key, value in schema.items() if value is not None},
    }


@functools.cache
def definitions():
    """(apiVersion, kind) → schema"""
    found = {}
    for path in sorted(pathlib.Path(os.environ["FARO_HELM_CRDS"]).glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def problems_of(manifest, versions):
    key = manifest["apiVersion"], manifest["kind"]
    if manifest["apiVersion"].startswith(LEFT_TO_THE_CALLER):
        return
    if key in definitions():
        for problem in jsonschema.Draft7Validator(definitions()[key]).iter_errors(manifest):
            yield f"{key[0]}: {'/'.join(map(str, problem.path))}: {problem.message}"
        return
    for version in versions:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as problem:
            yield f"{version}: {problem.message}"


for one in manifests.read():
    for found in problems_of(one, sys.argv[1:]):
        print(f"{one['kind']} {one['metadata']['name']}: {found}")
