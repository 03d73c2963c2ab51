# SPDX-License-Identifier: Apache-2.0
"""Reads manifests from standard input, and writes them as one JSON array."""

import json
import sys

import yaml


class Loader(yaml.CSafeLoader):
    """As Kubernetes reads it: a key that comes twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in set(keys):
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read():
    return [m for m in yaml.load_all(sys.stdin, Loader=Loader) if m is not None]


if __name__ == "__main__":
    json.dump(read(), sys.stdout)
