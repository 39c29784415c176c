//! A Redis server for one test, started by the test itself.
//!
//! ```no_run
//! use flashops_testkit::redis_server::RedisServer;
//!
//! let server = RedisServer::start();
//! assert!(server.address().starts_with("redis://127.0.0.1:"));
//! ```
//!
//! Edge cases: the program is `redis-server` or `valkey-server` where one is on the path, else `redis-check-rdb` of
//! Debian's package `redis-tools`, which is the same program and comes without a system service. A test process that is
//! killed leaves its server behind.
//!
//! What this module does not do: install anything, or touch a server that it did not start.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A server of its own: on a free port of loopback, in a private folder, and stopped when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
}

/// What Debian calls the server, and the name under which its package of tools has the same program.
const PROGRAMS: [&str; 3] = ["redis-server", "valkey-server", "redis-check-rdb"];

impl RedisServer {
    /// Starts a server that writes nothing to its disk.
    ///
    /// # Panics
    ///
    /// If the program is not there or does not start.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with more settings, as on its command line.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`].
    pub fn with(settings: &[&str]) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("flashops-redis-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
        let settings = settings.iter().map(|&text| text.to_owned()).collect();
        let mut server = Self { port, folder, settings, process: None };
        server.start_again();
        server
    }

    /// Starts it again after [`RedisServer::kill`], on the same port and in the same folder.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`].
    pub fn start_again(&mut self) {
        let mut child = command()
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", self.folder.to_str().expect("the folder has a plain name")])
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        self.process = Some(child);
        let ready = |line: &str| line.contains("Ready to accept connections");
        let mut said = Vec::new();
        for line in output.lines() {
            let line = line.expect("its log is text");
            if ready(&line) {
                return;
            }
            said.push(line);
        }
        panic!("the server ended: {said:#?}");
    }

    /// Kills it, as an operating system does that is out of memory.
    ///
    /// # Panics
    ///
    /// If the process cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The number of its process.
    ///
    /// # Panics
    ///
    /// If it was killed.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// A port of loopback that nobody listens on.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}

fn command() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for program in PROGRAMS {
        if let Some(found) = folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file()) {
            let mut command = Command::new(found);
            // The program looks at its name for what it is to do.
            command.arg0(PROGRAMS[0]);
            return command;
        }
    }
    panic!(
        "these tests need redis-server; on Debian, `cargo xtask test` fetches it, or install the package redis-tools"
    );
}
