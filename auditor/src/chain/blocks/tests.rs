// SPDX-License-Identifier: Apache-2.0

use super::*;

#[test]
fn a_reading_that_begins_anew_forgets_what_the_one_before_found() {
    let scratch = Scratch::temporary().unwrap();
    // As a version left them that knew nothing of runtimes.
    for (fact, value) in [
        ("block", "7"),
        ("blocks_incomplete", "true"),
        ("handovers", "3 5"),
        ("forced", "4"),
    ] {
        scratch.remember(fact, value).unwrap();
    }
    let mut so_far = SoFar::kept(&scratch, 1).unwrap();
    assert_eq!(so_far.last, None);
    so_far.last = Some((1, [1; 32]));
    so_far.keep(&scratch).unwrap();
    let mut goes_on = SoFar::kept(&scratch, 1).unwrap();
    assert_eq!(goes_on.last, Some((1, [1; 32])));
    assert!(goes_on.found.complete);
    assert!(goes_on.found.changes.handovers.is_empty());
    assert!(goes_on.found.changes.forced.is_empty());
    goes_on.found.complete = false;
    goes_on.keep(&scratch).unwrap();
    assert!(!SoFar::kept(&scratch, 1).unwrap().found.complete);
}
