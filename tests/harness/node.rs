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

use crate::{Api, Ended, binary, namespaces::Namespace, relay::Relay, wait_for};

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Its configuration file, as TOML; none where it is empty.
    pub config: String,
    /// Where its API listens; on a free port of 127.0.0.1 where it is empty.
    pub http: String,
    /// More arguments of `quittance run`.
    pub arguments: Vec<String>,
    /// Another program than [`binary`].
    pub program: Option<PathBuf>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The network namespace it runs in, where it is not the test's own.
    pub namespace: Option<Namespace>,
}

impl Settings {
    /// Bounds of the API: the lines of the configuration's `[limits]`.
    #[must_use]
    pub fn limits(lines: &str) -> Self {
        Self { config: format!("[limits]\n{lines}\n"), ..Self::default() }
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
    #[expect(dead_code, reason = "the API of a node in another namespace is reached through it")]
    door: Option<Relay>,
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
        Self::try_launch(data, settings)?.ready()
    }

    /// Starts a node and waits until its API answers, or it has ended. One of
    /// several validators is ready only with others.
    ///
    /// # Errors
    /// It ended instead.
    ///
    /// # Panics
    /// It does neither.
    pub fn try_launch(data: &Path, settings: &Settings) -> Result<Self, Ended> {
        let mut process = spawn(data, settings);
        let address = wait_for("the node's greeting", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            let stdout = process.stdout.lock().unwrap();
            address_in(&stdout).map(Ok)
        });
        let address = match address {
            Ok(address) => address,
            Err(status) => return Err(process.ended(status)),
        };
        let door = settings.namespace.clone().map(|inside| Relay::into_namespace(inside, address));
        let api = Api::new(door.as_ref().map_or(address, Relay::address));
        let (data, settings) = (data.to_owned(), settings.clone());
        Ok(Self { data, settings, process: Some(process), api, door })
    }

    fn ready(mut self) -> Result<Self, Ended> {
        let ready = wait_for("the node to become ready", || {
            let process = self.process.as_mut()?;
            if let Some(status) = process.child.try_wait().unwrap() {
                return Some(Err(status));
            }
            self.api.is_ready().then_some(Ok(()))
        });
        match (ready, self.process.take()) {
            (Err(status), Some(process)) => Err(process.ended(status)),
            (_, process) => Ok(Self { process, ..self }),
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

    /// Whether it was started and neither killed nor waited for since.
    pub const fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Its process.
    ///
    /// # Panics
    /// It does not run.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process.as_ref().expect("the node runs").child)
    }

    /// Its memory that is in use (`VmRSS`), in bytes.
    ///
    /// # Panics
    /// It does not run.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
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
        kill_process(self.pid(), Signal::KILL).unwrap();
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
        kill_process(self.pid(), Signal::TERM).unwrap();
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
    let program = settings.program.as_deref().unwrap_or_else(|| binary());
    let mut words = settings.namespace.iter().flat_map(Namespace::launcher);
    let mut command = match words.next() {
        // It becomes the program: its process is the node's.
        Some(launcher) => Command::new(launcher),
        None => Command::new(program),
    };
    command.args(words);
    if settings.namespace.is_some() {
        command.arg(program);
    }
    let http = if settings.http.is_empty() { "127.0.0.1:0" } else { &settings.http };
    command.args(["run", "--http", http, "--data"]).arg(data);
    if !settings.config.is_empty() {
        let mut path = data.as_os_str().to_owned();
        path.push(".node.toml");
        fs::write(&path, &settings.config).unwrap();
        command.arg("--config").arg(path);
    }
    let mut child = command
        .args(&settings.arguments)
        .env_remove("RUST_LOG")
        .envs(settings.environment.iter().cloned())
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
