// SPDX-License-Identifier: Apache-2.0

//! Web pages that are phones.

use hashchain::StudyId;
use mhealth_testing::node::Launch;
use reqwest::{Method, Response};

use crate::world::{Kind, World};

const PAGE: &str = "https://diary.example";

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_upload_and_read_and_nothing_of_the_auditors() {
    let listed = format!("--allowed-origin={PAGE}");
    let world = World::start_with(Kind::Sqlite, Launch::instant(), StudyId(0), |launch| {
        launch.arg(&listed)
    })
    .await;
    let ask = async |method: Method, path: &str, origin: &str| {
        let url = format!("{}{path}", world.relay.url());
        let request = world.http.request(method, url).header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, dpop");
        request.send().await.unwrap()
    };
    let beforehand = ask(Method::OPTIONS, "/v1/runs", PAGE).await;
    assert_eq!(beforehand.status(), 204);
    assert_eq!(header(&beforehand, "access-control-allow-origin"), PAGE);
    assert!(header(&beforehand, "access-control-allow-headers").contains("dpop"));
    // What a page is told when its token is missing it can read.
    let refused = ask(Method::POST, "/v1/runs", PAGE).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(header(&refused, "access-control-allow-origin"), PAGE);
    assert!(header(&refused, "www-authenticate").starts_with("DPoP"));
    for exposed in ["www-authenticate", "dpop-nonce", "retry-after"] {
        let all = header(&refused, "access-control-expose-headers");
        assert!(all.contains(exposed), "{all}");
    }
    let study = ask(Method::GET, "/v1/studies/0", PAGE).await;
    assert_eq!(study.status(), 200);
    assert_eq!(header(&study, "access-control-allow-origin"), PAGE);
    // Auditors use no pages, and other pages use nothing.
    for (path, origin) in [
        ("/v1/export", PAGE),
        ("/metrics", PAGE),
        ("/v1/runs", "https://evil.example"),
    ] {
        let refused = ask(Method::OPTIONS, path, origin).await;
        assert_eq!(refused.status(), 403, "{path} {origin}");
        assert_eq!(header(&refused, "access-control-allow-origin"), "");
        assert!(refused.text().await.unwrap().contains("origin_not_allowed"));
    }
}
