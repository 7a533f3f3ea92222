//! Chromium, driven through WebDriver, as a person would use the pages.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{tools, wait_for};

/// A browser with an empty profile of its own.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Driver,
    session: String,
    #[expect(dead_code, reason = "the profile's folder goes with it")]
    profile: TempDir,
}

#[derive(Debug)]
struct Driver {
    process: Child,
    url: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked to, it ends its browsers too; killed, it would leave them behind.
        let _ = ureq::get(format!("{}/shutdown", self.url)).call();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    /// Starts a browser; none where Chromium is missing and may be.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let (driver, chromium) = tools::chromium()?;
        let driver = start_driver(driver);
        let profile = tempfile::tempdir().unwrap();
        // As root, Chromium has no sandbox; what it talks to is this test's own
        // node. Nothing else is to be looked up or fetched.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1000",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--user-data-dir={}", profile.path().display())])
        .collect::<Vec<_>>();
        let mut capabilities = Map::new();
        capabilities.insert("browserName".to_owned(), json!("chrome"));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        capabilities.insert(
            "goog:chromeOptions".to_owned(),
            json!({ "binary": chromium, "args": arguments }),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (client, session) = runtime.block_on(async {
            let client = ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities)
                .connect(&driver.url)
                .await
                .expect("Chromium does not start");
            let session = client.session_id().await.unwrap().expect("a session");
            (client, session)
        });
        Some(Self { client, runtime, driver, session, profile })
    }

    /// Opens a page and waits until it has loaded.
    ///
    /// # Panics
    /// It does not load.
    pub fn open(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).unwrap();
    }

    /// The URL of the page.
    ///
    /// # Panics
    /// The browser does not answer.
    pub fn url(&self) -> String {
        self.runtime.block_on(self.client.current_url()).unwrap().to_string()
    }

    /// What the page shows as text.
    pub fn text(&self) -> String {
        self.text_of("body")
    }

    /// What an element shows as text, once it is there.
    ///
    /// # Panics
    /// It is not there.
    pub fn text_of(&self, selector: &str) -> String {
        let found = async {
            let element = self.client.wait().for_element(Locator::Css(selector)).await;
            element.unwrap_or_else(|error| panic!("{selector}: {error}")).text().await.unwrap()
        };
        self.runtime.block_on(found)
    }

    /// Waits until the page shows a text, and gives all it shows.
    ///
    /// # Panics
    /// It never does.
    pub fn wait_for_text(&self, text: &str) -> String {
        let what = format!("the page to show {text:?}");
        wait_for(&what, || {
            let shown = self
                .runtime
                .block_on(async { self.client.find(Locator::Css("body")).await?.text().await });
            // Between two pages there is none.
            shown.ok().filter(|shown| shown.contains(text))
        })
    }

    /// Types into a field, over what stands in it.
    ///
    /// # Panics
    /// There is no such field.
    pub fn fill(&self, selector: &str, text: &str) {
        self.runtime.block_on(async {
            let field = self.client.wait().for_element(Locator::Css(selector)).await;
            let field = field.unwrap_or_else(|error| panic!("{selector}: {error}"));
            field.clear().await.unwrap();
            field.send_keys(text).await.unwrap();
        });
    }

    /// Chooses a file in a form.
    ///
    /// # Panics
    /// There is no such field.
    pub fn choose_file(&self, selector: &str, path: &Path) {
        self.runtime.block_on(async {
            let field = self.client.wait().for_element(Locator::Css(selector)).await;
            let field = field.unwrap_or_else(|error| panic!("{selector}: {error}"));
            field.send_keys(path.to_str().unwrap()).await.unwrap();
        });
    }

    /// Clicks on an element.
    ///
    /// # Panics
    /// There is no such element.
    pub fn click(&self, selector: &str) {
        self.runtime.block_on(async {
            let element = self.client.wait().for_element(Locator::Css(selector)).await;
            let element = element.unwrap_or_else(|error| panic!("{selector}: {error}"));
            element.click().await.unwrap();
        });
    }

    /// An attribute of an element; none where it has no such attribute.
    ///
    /// # Panics
    /// There is no such element.
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        self.runtime.block_on(async {
            let element = self.client.find(Locator::Css(selector)).await;
            let element = element.unwrap_or_else(|error| panic!("{selector}: {error}"));
            element.attr(name).await.unwrap()
        })
    }

    /// What a script in the page returns.
    ///
    /// # Panics
    /// It fails.
    pub fn script(&self, script: &str) -> Value {
        self.runtime.block_on(self.client.execute(script, Vec::new())).unwrap()
    }

    /// Saves what the page looks like as a PNG file in the folder `screenshots`
    /// of the build, and gives its path.
    ///
    /// # Panics
    /// It cannot be saved.
    pub fn screenshot(&self, name: &str) -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(3).unwrap().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, self.runtime.block_on(self.client.screenshot()).unwrap()).unwrap();
        path
    }

    /// What the browser complained about since the last call: errors and
    /// warnings of scripts, resources that did not load, breaches of the
    /// content security policy.
    ///
    /// # Panics
    /// The driver does not answer.
    pub fn complaints(&self) -> Vec<String> {
        let url = format!("{}/session/{}/se/log", self.driver.url, self.session);
        let mut answer = ureq::post(url).send_json(json!({ "type": "browser" })).unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        let entries = answer["value"].as_array().unwrap();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends what is left.
        let _ = self.runtime.block_on(self.client.clone().close());
    }
}

fn start_driver(program: PathBuf) -> Driver {
    let mut process = Command::new(program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver does not start");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse::<u16>().ok()
        })
        .expect("chromedriver does not say where it listens");
    // It must not be stopped by a pipe that nobody reads.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Driver { process, url: format!("http://127.0.0.1:{port}") }
}
