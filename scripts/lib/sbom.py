#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the bill of materials of the programs: CycloneDX 1.6 as JSON, checked against its schema before it is printed.

It has every package that is linked into a program or runs while one is built, with version, licence, checksum (as Cargo.lock
has it) and what it depends on. The same sources give the same bytes.
"""

import json
import sys
import uuid

import crates
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def component(tree, package):
    name, version = package["name"], package["version"]
    checksum, expression = tree.checksum(package), crates.licence(package)
    shipped = package["id"] in tree.shipped
    source = package["repository"] or package["homepage"]
    return Component(
        type=ComponentType.APPLICATION if shipped else ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        description=(package["description"] or "").strip() or None,
        purl=PackageURL("cargo", None, name, version) if package["source"] else None,
        licenses=[LicenseFactory().make_from_string(expression)] if expression else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
        external_references=[ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(source))] if source else [],
    )


def main():
    tree, bom = crates.Tree(), Bom()
    components = {each: component(tree, package) for each, package in tree.packages.items()}
    root = Component(
        type=ComponentType.APPLICATION,
        name="mhealth-chain",
        version=tree.version,
        bom_ref="mhealth-chain",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    bom.metadata.component = root
    bom.components.update(components.values())
    bom.register_dependency(root, [components[each] for each in tree.shipped])
    for each, needed in tree.dependencies.items():
        bom.register_dependency(components[each], [components[other] for other in needed])
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    # When it was printed says nothing about what is in it, and its number is made of that.
    del content["metadata"]["timestamp"]
    del content["serialNumber"]
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    text = json.dumps({**content, "serialNumber": f"urn:uuid:{number}"}, indent=1, sort_keys=True)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        print(f"the bill of materials is not valid: {fault}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
