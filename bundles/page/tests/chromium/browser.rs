//! Chromium, driven by its own `WebDriver`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// More keys than any page needs to reach all of its elements.
const MOST_KEYS: usize = 200;

/// Without access to any network, and without a screen.
const SAFE: [&str; 6] = [
    "--headless=new",
    // Chromium's sandbox does not work for root, who runs the tests. The pages are the project's own.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--window-size=1280,960",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// A browser with its own profile and a log of its network.
pub struct Browser {
    /// The session.
    pub client: Client,
    driver: Driver,
    folder: tempfile::TempDir,
}

/// The driver. It ends with the test, even if the test fails, and ends its browser.
struct Driver {
    child: Child,
    /// The browser's processes hold the other end of this pipe, too.
    stdout: BufReader<ChildStdout>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A killed driver leaves its browser behind, so both are killed as one process group.
        let group = self.child.id().try_into().map(Pid::from_raw).expect("a process id");
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        // The output ends when the last of these processes has ended.
        let _ = io::copy(&mut self.stdout, &mut io::sink());
    }
}

impl Driver {
    /// Starts the driver on a free port, which the driver prints.
    fn start() -> (Self, u16) {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("chromedriver: Debian's package chromium-driver");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Self { child, stdout };
        let port =
            driver.stdout.by_ref().lines().map(Result::unwrap).find_map(|line| {
                line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
            });
        (driver, port.expect("chromedriver says its port"))
    }
}

impl Browser {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (driver, port) = Driver::start();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = SAFE.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", inside("profile")));
        arguments.push(format!("--log-net-log={}", inside("network.json")));
        let options = json!({ "goog:chromeOptions": { "args": arguments } });
        let Value::Object(options) = options else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let address = format!("http://127.0.0.1:{port}");
        let client = builder.capabilities(Capabilities::from_iter(options)).connect(&address).await.unwrap();
        Self { client, driver, folder }
    }

    pub async fn open(&self, page: &Path) {
        self.client.goto(&format!("file://{}", page.display())).await.unwrap();
    }

    /// Closes the browser; returns the complete log of its network.
    pub async fn end(self) -> String {
        self.client.close().await.unwrap();
        drop(self.driver);
        fs_err::read_to_string(self.folder.path().join("network.json")).unwrap()
    }

    /// The folder of its profile, which is in the command line of each of its processes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The element that has the focus.
    pub async fn active(&self) -> Element {
        self.client.active_element().await.unwrap()
    }

    /// Presses a key until the condition holds.
    pub async fn press_until(&self, key: &Key, condition: &str) {
        for _ in 0..MOST_KEYS {
            let body = self.client.find(Locator::Css("body")).await.unwrap();
            let active = self.client.active_element().await.unwrap_or(body);
            active.send_keys(&key.to_string()).await.unwrap();
            if self.client.execute(&format!("return {condition}"), vec![]).await.unwrap() == json!(true) {
                return;
            }
        }
        panic!("{MOST_KEYS} keys do not lead to {condition}");
    }
}

/// The number of processes with this text in their command line.
pub fn processes_with(text: &str) -> usize {
    let processes = fs_err::read_dir("/proc").unwrap().map(|process| process.unwrap().path().join("cmdline"));
    processes
        .filter_map(|path| fs_err::read(path).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}

/// The text of a page when it is printed. Chromium prints directly: its `WebDriver` gives up after a time, and this must not depend on one.
pub fn printed_text(page: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed.pdf");
    let printed = Command::new("chromium")
        .args(SAFE)
        .args(["--no-pdf-header-footer", &format!("--user-data-dir={}", folder.path().join("profile").display())])
        .arg(format!("--print-to-pdf={}", file.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium: Debian's package chromium");
    assert!(printed.status.success(), "{printed:?}");
    let text = Command::new("pdftotext").arg(&file).arg("-").output().expect("pdftotext: Debian's poppler-utils");
    assert!(text.status.success(), "{text:?}");
    String::from_utf8(text.stdout).unwrap()
}

/// The addresses that a page requested, from the log of the network, each once. Requests of the browser itself have no origin.
pub fn requests_in(log: &str) -> BTreeSet<String> {
    let log: Value = serde_json::from_str(log).unwrap();
    let started = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(started.is_u64(), "the log of the network does not have the form that is known");
    let events = log["events"].as_array().unwrap().iter().filter(|event| event["type"] == *started);
    let asked = events
        .map(|event| &event["params"])
        .filter(|asked| asked["initiator"].as_str().is_some_and(|origin| origin != "not an origin"));
    asked.map(|asked| asked["url"].as_str().unwrap().to_owned()).collect()
}
