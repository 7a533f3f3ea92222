//! One node as a process.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Api, Ended, binary, wait_for};

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Its configuration file, as TOML; none where it is empty.
    pub config: String,
    /// More arguments of `quittance run`.
    pub arguments: Vec<String>,
}

impl Settings {
    /// Bounds of the API: the lines of the configuration's `[limits]`.
    #[must_use]
    pub fn limits(lines: &str) -> Self {
        Self { config: format!("[limits]\n{lines}\n"), arguments: Vec::new() }
    }
}

/// A node that runs as a process of its own. It is killed when it is dropped,
/// and what it said is printed when the test panics.
#[derive(Debug)]
pub struct Node {
    data: PathBuf,
    settings: Settings,
    process: Option<Process>,
    api: Api,
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Deref for Node {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Node {
    /// Starts a node on a data folder and waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &Settings::default())
    }

    /// As [`Node::start`], with settings.
    ///
    /// # Panics
    /// It does not become ready.
    pub fn start_with(data: &Path, settings: &Settings) -> Self {
        match Self::try_start(data, settings) {
            Ok(node) => node,
            Err(ended) => panic!("the node ended with {:?}:\n{}", ended.code, ended.stderr),
        }
    }

    /// Starts a node and waits until it is ready, or has ended.
    ///
    /// # Errors
    /// It ended instead of becoming ready.
    ///
    /// # Panics
    /// It does neither.
    pub fn try_start(data: &Path, settings: &Settings) -> Result<Self, Ended> {
        let mut process = spawn(data, settings);
        let address = wait_for("the node's greeting", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let stdout = process.stdout.lock().unwrap();
            address_in(&stdout).map(Ok)
        });
        let api = match address {
            Ok(address) => Api::new(address),
            Err(status) => return Err(process.ended(status)),
        };
        let ready = wait_for("the node to become ready", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let answer = api.try_get("/readyz").ok()?;
            (answer.status == 200).then_some(Ok(()))
        });
        match ready {
            Ok(()) => Ok(Self {
                data: data.to_owned(),
                settings: settings.clone(),
                process: Some(process),
                api,
            }),
            Err(status) => Err(process.ended(status)),
        }
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its API, to be used by other threads.
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// What it greeted with.
    ///
    /// # Panics
    /// It does not run.
    pub fn greeting(&self) -> String {
        self.process.as_ref().unwrap().stdout.lock().unwrap().clone()
    }

    /// What it logged so far.
    ///
    /// # Panics
    /// It does not run.
    pub fn log(&self) -> String {
        self.process.as_ref().unwrap().stderr.lock().unwrap().clone()
    }

    /// Kills it at once (SIGKILL), from whatever thread; [`Node::kill`] or
    /// [`Node::wait`] is to follow.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill_now(&self) {
        let process = self.process.as_ref().expect("the node runs");
        kill_process(Pid::from_child(&process.child), Signal::KILL).unwrap();
    }

    /// Kills it at once (SIGKILL), and waits until it is gone.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the node runs");
        process.child.kill().unwrap();
        let status = process.child.wait().unwrap();
        process.ended(status);
    }

    /// Tells it to stop (SIGTERM).
    ///
    /// # Panics
    /// It does not run.
    pub fn terminate(&self) {
        let process = self.process.as_ref().expect("the node runs");
        kill_process(Pid::from_child(&process.child), Signal::TERM).unwrap();
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// It does not end.
    pub fn wait(&mut self) -> Ended {
        let process = self.process.as_mut().expect("the node runs");
        let status = wait_for("the node to end", || process.child.try_wait().unwrap());
        self.process.take().expect("the node runs").ended(status)
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// It does not end, or not well.
    pub fn stop(&mut self) -> Ended {
        self.terminate();
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    /// Starts it again on the same folder, at another address.
    ///
    /// # Panics
    /// It still runs, or does not become ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the node still runs");
        *self = Self::start_with(&self.data, &self.settings);
    }
}

impl Process {
    fn ended(mut self, status: ExitStatus) -> Ended {
        // The pipes are at their end, and so are their readers.
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended {
            code: status.code(),
            stdout: std::mem::take(&mut *self.stdout.lock().unwrap()).into_bytes(),
            stderr: std::mem::take(&mut *self.stderr.lock().unwrap()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.stderr.lock().unwrap();
            let last = said.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("the node said:");
            last.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

fn spawn(data: &Path, settings: &Settings) -> Process {
    let mut command = Command::new(binary());
    command.args(["run", "--http", "127.0.0.1:0", "--data"]).arg(data);
    if !settings.config.is_empty() {
        let mut path = data.as_os_str().to_owned();
        path.push(".node.toml");
        fs::write(&path, &settings.config).unwrap();
        command.arg("--config").arg(path);
    }
    let mut child = command
        .args(&settings.arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program does not start");
    let (stdout, stderr) = <(Arc<Mutex<String>>, Arc<Mutex<String>>)>::default();
    let readers = vec![
        collect(child.stdout.take().unwrap(), stdout.clone()),
        collect(child.stderr.take().unwrap(), stderr.clone()),
    ];
    Process { child, stdout, stderr, readers }
}

fn collect(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// The address of the API in what a node greets with.
fn address_in(greeting: &str) -> Option<SocketAddr> {
    let whole = &greeting[..=greeting.rfind('\n')?];
    let start = whole.find("http://").or_else(|| whole.find("https://"))?;
    let (_, rest) = whole[start..].split_once("://")?;
    rest.split(['/', ' ', '\n']).next()?.parse().ok()
}
