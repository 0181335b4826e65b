//! What runs on each host when another kinstall leads: reads a request, does it, says how it went.
//!
//! It is the same program and the same code as on a single host; see [`protocol`] for what is said.

mod ask;
mod behind;
mod neighbour;
pub mod protocol;
mod reach;
mod remove;
mod store;
mod survey;
mod work;

use std::io::{BufReader, Read};

use anyhow::{Context as _, anyhow};

use crate::failure::{Advise, FailureReport};
use crate::report::{Reporter, print_json, print_text};
use protocol::{GREETING, Reply, Request, next_line, skip_to_greeting};

pub use behind::Behind;
pub use store::{DIRECTORY, PROGRAM, needs};

/// Serves the request that comes on `input`, and tells on standard output.
///
/// # Errors
/// When the reply could not be told. A request that failed is a reply like any other.
pub fn serve(input: impl Read + Send + 'static) -> anyhow::Result<()> {
    print_text(&format!("{GREETING}\n")).context("nobody listens")?;
    let reporter = Reporter::to_leader();
    let reply = answer(BufReader::with_capacity(1 << 18, input), &reporter)
        .unwrap_or_else(|error| Reply::Failed(FailureReport::from(&error)));
    print_json(&reply).context("nobody listens to the reply")
}

fn answer(mut input: BufReader<impl Read + Send + 'static>, reporter: &Reporter) -> anyhow::Result<Reply> {
    skip_to_greeting(&mut input).context("no request came").usage()?;
    let line = next_line(&mut input)?.ok_or_else(|| anyhow!("no request came")).usage()?;
    let request = serde_json::from_slice(&line);
    // What cannot be read may be secret, and serde's words repeat none of the values in it.
    match request.context("the request cannot be read; is the kinstall that leads of the same version?").usage()? {
        Request::Survey(wanted) => survey::survey(&wanted).map(|survey| Reply::Survey(Box::new(survey))),
        Request::Receive { trust } => store::receive(input, &trust, reporter).map(|()| Reply::Done),
        Request::Look(work) => work::look(&work, reporter).map(|()| Reply::Done),
        Request::Apply { phase, work } => work::apply(&work, phase, reporter).map(|changed| Reply::Applied { changed }),
        Request::Ask { question } => ask::answer(&question, reporter).map(|answer| Reply::Answer { answer }),
        Request::Listen { ports } => reach::listen(&ports, input, reporter).map(|()| Reply::Done),
        Request::Connect { targets } => Ok(Reply::Unreached { failures: reach::connect(&targets) }),
        Request::Reset => remove::reset(reporter).map(|()| Reply::Done),
        Request::Withdraw => remove::withdraw().map(|()| Reply::Done),
    }
}
