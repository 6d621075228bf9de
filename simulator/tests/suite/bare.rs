// SPDX-License-Identifier: Apache-2.0

//! Bare records, the topologies of Figures 2a and 2b.

use mhealth_api::Code;
use mhealth_device_host::Standing;

use crate::support::{
    fakes::Trouble,
    trial::{through, Trial},
};

#[tokio::test]
async fn bare_records_are_chained_by_the_relay_and_only_their_number_is_compared() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..7);
    let mut settings = trial.settings(1);
    settings.device.bare_records = true;
    trial.relays[0].trouble([
        Trouble::LostAnswer,
        Trouble::Refused(Code::Overloaded, Some(0)),
    ]);
    assert_eq!(
        trial.upload_through(&through(settings.clone())).await,
        Ok(vec![])
    );
    let record = trial.phone().record().expect("a record");
    assert_eq!((record.confirmed, record.frozen), (7, None));
    assert_eq!(trial.world.state().devices[0].head().length, 7);
    assert!(trial.relays[1].received("/v1/records").is_empty());

    // What hides in such a topology: entries of somebody else.
    trial.world.state().devices[0].entries[3].hash = hashchain::LinkHash([0xbd; 32]);
    let standing = trial
        .phone()
        .sync(&through(settings))
        .await
        .expect("compared");
    assert_eq!(standing, Standing::Level);
}
