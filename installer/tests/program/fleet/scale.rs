//! The cost of leading grows in proportion to the number of hosts. It is counted and not timed here; `ci/fleet-scale` measures it with
//! hundreds of hosts.

use fs_err as fs;

use super::cluster::Network;
use super::stubs::Stubs;
use super::{SERVER, WORKER};

const SERVERS: usize = 3;

/// What a host was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    requests: usize,
    bytes: usize,
}

impl Told {
    fn sum(all: &[Self]) -> Self {
        let add =
            |sum: Self, told: &Self| Self { requests: sum.requests + told.requests, bytes: sum.bytes + told.bytes };
        all.iter().fold(Self::default(), add)
    }

    fn most(all: &[Self]) -> Self {
        let most = |most: Self, told: &Self| Self {
            requests: most.requests.max(told.requests),
            bytes: most.bytes.max(told.bytes),
        };
        all.iter().fold(Self::default(), most)
    }
}

/// Installs three control planes and workers up to `count` hosts; what each was told, control planes apart.
///
/// With Flannel: routes of the bridge go to every node, see `docs/decisions/several-hosts.md`.
fn told(count: usize) -> (Vec<Told>, Vec<Told>) {
    let roles: Vec<_> = (0..count).map(|index| if index < SERVERS { SERVER } else { WORKER }).collect();
    let stubs = Stubs::new(&roles);
    stubs.write_bundle(Network::Flannel);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let told = |number: usize| {
        let text = fs::read_to_string(stubs.host(number, "told")).unwrap();
        Told { requests: text.lines().count(), bytes: text.len() }
    };
    ((1..=SERVERS).map(told).collect(), (SERVERS + 1..=count).map(told).collect())
}

#[test]
fn nothing_that_hosts_are_told_grows_with_the_square_of_their_number() {
    let [(few, few_workers), (more, more_workers), (many, many_workers)] = [10, 25, 40].map(told);
    let (one, other) = (Told::most(&few_workers), Told::most(&many_workers));
    assert_eq!(one.requests, other.requests, "a worker is asked as often in a large cluster");
    // Names and addresses have a digit more there: `h40` and 192.0.2.41.
    assert!(other.bytes <= one.bytes + 32, "{one:?} {other:?}");
    assert_eq!(Told::most(&more_workers).requests, one.requests);

    // The leader knows all hosts, and control planes reach all: fifteen more hosts cost as much as the fifteen before.
    let [few, more, many] = [few, more, many].map(|told| Told::sum(&told));
    let (before, after) = (more.bytes - few.bytes, many.bytes - more.bytes);
    assert!(after <= before + before / 10, "{few:?} {more:?} {many:?}");
    assert!(many.requests <= few.requests + 2 * SERVERS, "a request more for every 32 workers: {few:?} {many:?}");
}
