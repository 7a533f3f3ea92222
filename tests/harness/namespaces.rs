//! Network namespaces: nodes that have each a network of their own, with links
//! that can be cut as if somebody had pulled a cable.
//!
//! All namespaces of a [`Lan`] hang on a switch in a namespace of its own, so
//! that nothing of it is seen by the rest of the machine. A link is cut by
//! plugging it into another switch: packets vanish, and nobody is told.
//!
//! This needs root and `ip` of the package iproute2. Namespaces end with the
//! [`Lan`]; what a killed test has left behind is removed by the next one.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tools;

/// What the names of all namespaces here begin with; the test's process id follows.
const PREFIX: &str = "quittance-test-";

/// The switches: links that are cut hang on the second one.
const SWITCHES: [&str; 2] = ["switch0", "switch1"];

/// A network namespace by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// The words that start a program in it, before the program's own.
    #[must_use]
    pub fn launcher(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.0].map(str::to_owned).to_vec()
    }

    /// Moves the calling thread into it, for good.
    ///
    /// # Panics
    /// There is no such namespace, or this is not root.
    pub fn enter(&self) {
        let file = File::open(Path::new("/run/netns").join(&self.0)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

/// Some namespaces on one switch.
#[derive(Debug)]
pub struct Lan {
    hub: Namespace,
    namespaces: Vec<Namespace>,
}

impl Lan {
    /// So many namespaces; none where that cannot be had and may be missing.
    ///
    /// # Panics
    /// The network cannot be set up.
    #[must_use]
    pub fn new(count: u8) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        tools::network_namespaces()?;
        remove_left_behind();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| Namespace(format!("{PREFIX}{}-{number}-{end}", std::process::id()));
        let hub = name("hub");
        // From here on whatever exists is removed, whatever happens.
        let mut lan = Self { hub: hub.clone(), namespaces: Vec::new() };
        ip(&["netns", "add", &hub.0]);
        for switch in SWITCHES {
            ip(&["-n", &hub.0, "link", "add", switch, "type", "bridge"]);
            ip(&["-n", &hub.0, "link", "set", switch, "up"]);
        }
        for index in 0..count {
            let namespace = name(&index.to_string());
            lan.namespaces.push(namespace.clone());
            ip(&["netns", "add", &namespace.0]);
            let port = port(index.into());
            let veth = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns"];
            ip(&[&["-n", &hub.0], &veth[..], &[&namespace.0]].concat());
            let address = format!("{}/24", Self::address(index));
            ip(&["-n", &namespace.0, "address", "add", &address, "dev", "eth0"]);
            ip(&["-n", &namespace.0, "link", "set", "lo", "up"]);
            ip(&["-n", &namespace.0, "link", "set", "eth0", "up"]);
            ip(&["-n", &hub.0, "link", "set", &port, "up", "master", SWITCHES[0]]);
        }
        Some(lan)
    }

    /// The namespace of this number.
    pub fn namespace(&self, index: usize) -> &Namespace {
        &self.namespaces[index]
    }

    /// Its address.
    pub const fn address(index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, index + 1)
    }

    /// Cuts these off from all others; among themselves they still reach each other.
    ///
    /// # Panics
    /// It cannot be done.
    pub fn cut_off(&self, indexes: &[usize]) {
        for index in 0..self.namespaces.len() {
            let switch = SWITCHES[usize::from(indexes.contains(&index))];
            ip(&["-n", &self.hub.0, "link", "set", &port(index), "master", switch]);
        }
    }

    /// Mends every link.
    ///
    /// # Panics
    /// It cannot be done.
    pub fn heal(&self) {
        self.cut_off(&[]);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in self.namespaces.iter().chain([&self.hub]) {
            remove(&namespace.0);
        }
    }
}

fn port(index: usize) -> String {
    format!("port{index}")
}

fn remove(name: &str) {
    // It may not be there yet, or no longer.
    let _ = Command::new("ip").args(["netns", "delete", name]).output();
}

/// Removes namespaces of tests that do not run any more.
fn remove_left_behind() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&name);
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip does not start");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
