// swift-tools-version:5.9
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let package = Package(
    name: "MHealthChain",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "MHealthChain", targets: ["MHealthChain"])],
    targets: [
        // The header of the library. An app links libmhealth_sdk.a of its target beside it; README.md says how that is built.
        .systemLibrary(name: "mhealthFFI"),
        .target(name: "MHealthChain", dependencies: ["mhealthFFI"]),
    ]
)
