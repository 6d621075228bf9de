// SPDX-License-Identifier: Apache-2.0

//! An app developer who has nothing but a package's README has a first entry registered.

use std::path::Path;
use std::time::{Duration, Instant};

use hashchain::DeviceId;
use mhealth_chain_client::ChainClient;
use mhealth_testing::document;
use mhealth_testing::newcomer;
use mhealth_testing::topology::{Site, Topology};

use crate::study::code;

/// Packages whose READMEs can be followed here.
const PACKAGES: [&str; 3] = ["python", "kotlin", "typescript"];
/// What stands in READMEs for the folder of this project, for the authentication server's address, and for a code.
const PROJECT: &str = "/path/to/mhealth-chain";
const ADDRESS: &str = "https://auth.example.org";
const CODE: &str = "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX";
/// Within this, an app developer wants to have seen that it works.
const TEN_MINUTES: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn who_has_seen_nothing_but_a_readme_has_a_first_entry_registered_within_ten_minutes() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(Topology::OneRelay, folder.path()).await;
    let site = site.expect("a chain and its servers start");
    let doors = site.doors();
    let office = doors.first().expect("an authentication server");
    let chain = ChainClient::connect(&site.node().url()).await;
    let chain = chain.expect("the node answers");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("it is there");

    for (device, package) in (0..).zip(PACKAGES) {
        let readme = root.join("sdk").join(package).join("README.md");
        let readme = std::fs::read_to_string(readme).expect("it is there");
        let blocks = document::blocks(&readme);
        // That was done, and is done once for all apps.
        let (build, first_entry) = blocks.split_first().expect("it has blocks");
        let builds = build.text.ends_with(&format!("\nsdk/build {package}\n"));
        assert!(builds, "{package}: {build:?}");

        let code = code(office, package).await;
        let own = [
            (PROJECT, root.to_str().expect("a path in UTF-8")),
            (ADDRESS, office.url.as_str()),
            (CODE, code.as_str()),
        ];
        let empty = folder.path().join(format!("{package}-diary"));
        std::fs::create_dir(&empty).expect("it is made");
        let begun = Instant::now();
        let said = newcomer::follow(first_entry, &empty, &own, TEN_MINUTES);
        let said = said.unwrap_or_else(|error| panic!("{package}: {error:#}"));
        let took = begun.elapsed();
        eprintln!("{package}: a first entry after {took:.1?}: {said}");
        assert!(took < TEN_MINUTES, "{package}");
        assert!(said.starts_with("Everything is registered."), "{package}");

        // Numbers are given out one after the other.
        let head = chain.head(DeviceId(device)).await;
        let head = head.expect("the node answers");
        assert_eq!(head.map(|head| head.length), Some(1), "{package}");
    }
}
