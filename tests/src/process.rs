//! Programs under test, killed when the test is done with them.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc::Receiver},
    time::{Duration, Instant},
};

/// The path of one of the workspace's binaries, built in this test's profile.
pub fn bin(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let dir =
        exe.parent().and_then(|deps| deps.parent()).expect("tests run from target/PROFILE/deps");
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built; run: cargo build --workspace", path.display());
    path
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a binary of the workspace.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(bin(name)).args(arguments))
    }

    /// Starts any command.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let (lines, stdout) = std::sync::mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (copy, mut err) = (stderr.clone(), child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = err.read(&mut chunk) {
                copy.lock()
                    .expect("nobody panics holding it")
                    .push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Self { child, stdout, stderr }
    }

    /// The next line of standard output.
    pub fn line(&self, patience: Duration) -> Option<String> {
        self.stdout.recv_timeout(patience).ok()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("nobody panics holding it").clone()
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self, patience: Duration) -> i32 {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                std::thread::sleep(Duration::from_millis(50));
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("still running after {patience:?}; it said: {}", self.stderr());
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Asks it to stop, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(format!("-{name}")).arg(id).status();
    }

    /// Its threads.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).map_or(0, Iterator::count)
    }

    /// Kills it on the spot.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running `rtmfpd` on a free port of loopback.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub process: Process,
    /// `rtmfp://127.0.0.1:PORT`
    pub url: String,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(|command| command)
    }

    /// Starts one with what `change` does to its command.
    pub fn start_with(change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(bin("rtmfpd"));
        let process = Process::spawn(change(command.args(["--listen", "127.0.0.1:0"])));
        let line = process.line(Duration::from_secs(10)).expect("rtmfpd says that it is ready");
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..2], ["rtmfpd", "ready"], "{line}");
        assert!(words[3].strip_prefix("fingerprint=").is_some_and(|hex| hex.len() == 64), "{line}");
        let url = words[2].to_owned();
        Self { process, url }
    }

    /// Its UDP address.
    pub fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("rtmfp://").parse().expect("an address")
    }
}
