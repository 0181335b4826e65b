//! The same installation many times, each on a new host: a failure that happens once in many runs shows here.

use anyhow::Context as _;
use lab::Lab;
use lab::cluster::{Cluster, install};
use lab::connected::{NEWEST, carried};

const ROUNDS: usize = 20;

/// Once an image's program was "not found in $PATH" although others of its layer ran: docs/decisions/half-made-snapshots.md.
#[test]
#[ignore = "half an hour: ./ci/test nightly"]
fn twenty_new_hosts_have_every_file_of_every_image() -> anyhow::Result<()> {
    for round in 1..=ROUNDS {
        has_every_file().with_context(|| format!("round {round} of {ROUNDS}"))?;
    }
    Ok(())
}

fn has_every_file() -> anyhow::Result<()> {
    let lab = Lab::boot("one-repeated", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    install(host)?;
    let cluster = Cluster::new(host);
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    cluster.assert_unpacked_images_are_whole()?;
    lab.down()
}
