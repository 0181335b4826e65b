//! Chromium, driven by its own WebDriver.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::{Capabilities, PrintConfigurationBuilder};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Keys that reach whatever there is on a page; more would go in circles.
const MOST_KEYS: usize = 200;

/// A browser with a profile of its own, and the log of its network.
pub struct Browser {
    /// The session.
    pub client: Client,
    driver: Driver,
    folder: tempfile::TempDir,
}

/// Ends with the test, also where it fails. Its browser ends with it.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Driver {
    /// Starts it on a free port, which it says.
    fn start() -> (Self, u16) {
        let command = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = Self(command.expect("chromedriver: Debian's package chromium-driver"));
        let lines = BufReader::new(driver.0.stdout.take().unwrap()).lines();
        let port = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        (driver, port.expect("chromedriver says its port"))
    }
}

impl Browser {
    pub async fn start() -> Self {
        let (driver, port) = Driver::start();
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let arguments = [
            "--headless=new".to_owned(),
            // Chromium's sandbox does not work for root, who runs the tests. The pages are the project's own.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1280,960".to_owned(),
            // What Chromium asks for on its own account.
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            format!("--user-data-dir={}", inside("profile")),
            format!("--log-net-log={}", inside("network.json")),
        ];
        let options = json!({ "goog:chromeOptions": { "args": arguments } });
        let Value::Object(options) = options else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client =
            builder.capabilities(Capabilities::from_iter(options)).connect(&format!("http://127.0.0.1:{port}"));
        Self { client: client.await.unwrap(), driver, folder }
    }

    pub async fn open(&self, page: &Path) {
        self.client.goto(&format!("file://{}", page.display())).await.unwrap();
    }

    /// Closes it; the log of its network from the first moment to the last.
    pub async fn end(self) -> String {
        self.client.close().await.unwrap();
        drop(self.driver);
        fs_err::read_to_string(self.folder.path().join("network.json")).unwrap()
    }

    /// What has the focus.
    pub async fn active(&self) -> Element {
        self.client.active_element().await.unwrap()
    }

    /// Presses a key until the page is so.
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

    /// The text of the page as it is printed.
    pub async fn printed_text(&self) -> String {
        let printed = self.client.print(PrintConfigurationBuilder::default().build().unwrap()).await.unwrap();
        let file: PathBuf = self.folder.path().join("printed.pdf");
        fs_err::write(&file, printed).unwrap();
        let text = Command::new("pdftotext").arg(&file).arg("-").output().expect("pdftotext: Debian's poppler-utils");
        assert!(text.status.success(), "{text:?}");
        String::from_utf8(text.stdout).unwrap()
    }
}

/// The addresses in a log of the network that are elsewhere, each once.
pub fn requests_in(log: &str) -> Vec<String> {
    let urls = log.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut urls: Vec<_> = urls
        .filter(|url| ["http", "ws", "ftp"].iter().any(|scheme| url.starts_with(scheme)))
        .map(str::to_owned)
        .collect();
    urls.sort();
    urls.dedup();
    urls
}
