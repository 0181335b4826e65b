//! Stands for OpenSSH and a host behind it that does everything at once: one small process for each that is started.
//!
//! `$HOSTS` has a file `ADDRESS.survey` with the answer to a survey for each host. What a host was sent is noted a line a
//! process in `ADDRESS.got`: how many bytes of the bundle, of kinstall itself, or told, and the CPU time of each process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fs_err as fs;
use fs_err::{File, OpenOptions};
use kinstall::agent::protocol::{GREETING, Message};
use kinstall::agent::questions::Request;
use kinstall::config::{ClusterSpec, DnsName};
use kinstall::report::Event;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Does what `ssh` with these arguments would.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let option = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let socket = option("ControlPath=").context("no path of a shared connection")?;
    if arguments.first().is_some_and(|first| first == "-O") {
        return Ok(fs::remove_file(socket)?);
    }
    let [.., destination, command] = arguments else { bail!("no command") };
    // As the shared connection would leave it, to be ended.
    File::create(socket)?;
    let hosts = std::env::var_os("HOSTS").context("no $HOSTS")?;
    let host = Host { files: PathBuf::from(hosts).join(destination) };
    host.run(command)?;
    host.note("nanoseconds", own_nanoseconds()?)
}

/// CPU time of this process, from its fork on.
fn own_nanoseconds() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(u64::try_from(time.num_nanoseconds())?)
}

struct Host {
    files: PathBuf,
}

impl Host {
    fn run(&self, command: &str) -> anyhow::Result<()> {
        if command.contains("uname -sm") {
            say(&format!("Linux {}\n0\n", std::env::consts::ARCH))
        } else if command.contains("exec /var/lib/kinstall") {
            self.agent()
        } else if command.contains("incoming") {
            // Passed on directly: the host's own work is not measured.
            let bytes = io::copy(&mut io::stdin().lock(), &mut File::create("/dev/null")?.into_file())?;
            self.note("kinstall", bytes)
        } else if command.contains("sha256sum") {
            say("none\n")
        } else {
            bail!("asked for something unknown: {command}")
        }
    }

    fn agent(&self) -> anyhow::Result<()> {
        let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
        let mut line = String::new();
        while line.trim_end() != GREETING {
            line.clear();
            anyhow::ensure!(input.read_line(&mut line)? > 0, "no request came");
        }
        line.clear();
        let told = input.read_line(&mut line)?;
        say(&format!("{GREETING}\n"))?;
        let answer = Message::Answer(self.answer(&line, &mut input)?);
        self.note("told", told as u64)?;
        say(&format!("{}\n", serde_json::to_string(&answer)?))
    }

    fn answer(&self, line: &str, input: &mut impl Read) -> anyhow::Result<Value> {
        let begins = |name: &str| line.starts_with(&format!("{{\"request\":\"{name}\""));
        Ok(if begins("survey-host") {
            serde_json::from_str(&fs::read_to_string(self.file("survey"))?)?
        } else if begins("apply-phase") {
            // The most frequent question is not parsed.
            json!(["stub"])
        } else if begins("receive-bundle") {
            let bytes = io::copy(input, &mut File::create("/dev/null")?.into_file())?;
            self.note("bundle", bytes)?;
            Value::Null
        } else if begins("listen-on-ports") {
            say(&format!("{}\n", serde_json::to_string(&Message::<()>::Event(Event::Listening))?))?;
            io::copy(input, &mut io::sink())?;
            Value::Null
        } else if begins("try-connections") {
            json!([])
        } else {
            answer(&serde_json::from_str(line)?)?
        })
    }

    fn note(&self, what: &str, count: u64) -> anyhow::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(self.file("got"))?;
        Ok(writeln!(file, "{what} {count}")?)
    }

    fn file(&self, kind: &str) -> PathBuf {
        let mut name = self.files.clone().into_os_string();
        name.push(format!(".{kind}"));
        name.into()
    }
}

/// An answer of the size that real ones have.
fn answer(request: &Request) -> anyhow::Result<Value> {
    let pem = "x".repeat(1700);
    Ok(match request {
        Request::MakeEtcdAuthority(_) => json!({ "certificate": pem, "key": pem }),
        Request::ReadSharedFiles(_) => {
            let file =
                |number| json!({ "path": format!("/etc/kubernetes/pki/{number}"), "mode": 0o600, "content": pem });
            (0..9).map(file).collect()
        }
        Request::CreateJoinCredentials(_) => json!({
            "api-server": "192.0.2.2:6443", "token": "abcdef.0123456789abcdef",
            "authority-hash": format!("sha256:{}", "0".repeat(64)),
        }),
        Request::ReadPodNetworks(asked) => pod_networks(&asked.nodes)?,
        other => bail!("asked for something unknown: {other:?}"),
    })
}

fn pod_networks(nodes: &[DnsName]) -> anyhow::Result<Value> {
    let spec = fs::read_to_string(Path::new(&std::env::var("HOSTS")?).join("../cluster.yaml"))?;
    let spec = ClusterSpec::parse(&spec)?;
    let network = |(number, host): (usize, &kinstall::config::HostSpec)| {
        let pods = format!("10.244.{}.0/24", number % 256);
        (host.name.to_string(), json!({ "pods": pods, "node": host.address }))
    };
    let networks: serde_json::Map<_, _> = spec.hosts.iter().enumerate().map(network).collect();
    anyhow::ensure!(nodes.len() == networks.len(), "asked for the pods of other nodes than there are");
    Ok(networks.into())
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}
