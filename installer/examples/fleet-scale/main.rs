//! Measures the cost of leading an installation of many hosts: runs a real kinstall against stub hosts that answer at once, through all
//! stages, and prints time, memory and bytes sent. `ci/fleet-scale` calls it.
//!
//! Called as `ssh` it is the stub.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "it prints a table")]

#[path = "../../tests/program/fleet/cluster.rs"]
mod cluster;
mod measure;
mod stub;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use cluster::Network;
use measure::{Cost, Stage};

/// How many hosts, and how often, for the mean.
const SIZES: [(usize, u32); 4] = [(1, 20), (5, 10), (50, 3), (500, 1)];
const MOST_MEMORY_KIB: u64 = 256 << 10;
/// With one more host, the cost may grow this much more at 500 hosts than at 50; twice as much would mean a noticeable quadratic step.
const MOST_GROWTH: f64 = 1.5;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().collect();
    let name = Path::new(&arguments[0]).file_name().context("no name")?;
    if name == "ssh" {
        stub::serve(&arguments[1..])?;
        return Ok(ExitCode::SUCCESS);
    }
    let [_, program] = arguments.as_slice() else { anyhow::bail!("usage: fleet-scale KINSTALL") };
    let program = fs_err::canonicalize(program)?;
    let mut missed = Vec::new();
    for (cni, network) in [("flannel", Network::Flannel), ("bridge", Network::Bridge)] {
        println!("\nnetwork {cni}\n\n{}", Cost::HEADS);
        let costs: Vec<_> = SIZES
            .iter()
            .map(|&(hosts, times)| {
                let cost = Stage::set_up(&program, hosts, network)?.mean_of(times)?;
                println!("{}", cost.row(hosts));
                Ok((hosts, cost))
            })
            .collect::<anyhow::Result<_>>()?;
        missed.extend(judge(cni, &costs));
    }
    println!();
    for bar in &missed {
        println!("missed: {bar}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bars that were missed.
fn judge(cni: &str, costs: &[(usize, Cost)]) -> Vec<String> {
    let mut missed = Vec::new();
    let [(_, one), _, (_, some), (most, many)] = costs else { panic!("one cost for each size") };
    for (hosts, cost) in costs.iter().filter(|(_, cost)| cost.peak_kib >= MOST_MEMORY_KIB) {
        missed.push(format!("{cni}: {} MiB with {hosts} hosts, and 256 is the limit", cost.peak_kib >> 10));
    }
    let times = many.own_seconds / one.own_seconds;
    println!("\n{most} hosts cost {times:.0} times the CPU time of one");
    if times > f64::from(u32::try_from(*most).unwrap()) {
        missed.push(format!("{cni}: {most} hosts cost {times:.0} times one"));
    }
    let growth = many.own_seconds_a_host_more(some) / some.own_seconds_a_host_more(one);
    let told = many.told_bytes_a_host_more(some) / some.told_bytes_a_host_more(one);
    println!("a host more costs, from 50 to {most} beside 1 to 50: CPU time {growth:.2}, bytes told {told:.2}");
    // The bridge's data grows with the square: every node has a route to each other node.
    if cni != "bridge" && (growth > MOST_GROWTH || told > 1.1) {
        missed.push(format!("{cni}: a host more costs more among {most} hosts: CPU time {growth:.2}, bytes {told:.2}"));
    }
    missed
}
