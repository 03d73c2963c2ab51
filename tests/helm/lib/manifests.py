# SPDX-License-Identifier: Apache-2.0
"""Reads manifests from standard input and writes them as one JSON array. With versions of Kubernetes as
arguments it validates each against their schemas instead, strictly, and writes what is wrong, one problem
a line. Kinds that Kubernetes itself does not know are left to the caller."""

import json
import sys

import kubernetes_validate
import yaml

CUSTOM = "monitoring.coreos.com/"


class Loader(yaml.SafeLoader):
    """As Kubernetes reads it: a key that comes twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in set(keys):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


manifests = [m for m in yaml.load_all(sys.stdin, Loader=Loader) if m is not None]
if len(sys.argv) == 1:
    json.dump(manifests, sys.stdout)
for version in sys.argv[1:]:
    for manifest in manifests:
        if manifest["apiVersion"].startswith(CUSTOM):
            continue
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as problem:
            print(f"{version}: {manifest['kind']} {manifest['metadata']['name']}: {problem.message}")
