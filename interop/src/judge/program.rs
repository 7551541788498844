//! The program under test, where the judge starts it.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// A program under test, killed with all that it started when its case is over.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// The end of what it said on standard error.
    said: Arc<Mutex<String>>,
}

impl Program {
    /// Runs `command` in a shell, with `{url}` replaced.
    pub(super) fn start(command: &str, url: &str) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command.replace("{url}", url))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let said = said.clone();
            std::thread::spawn(move || keep_the_end(stderr, &said));
        }
        Ok(Self { child, said })
    }

    /// What became of it, in a line.
    pub(super) fn fate(&mut self) -> String {
        let end = match self.child.try_wait() {
            Ok(Some(status)) => format!("it ended with {status}"),
            _ => "it runs, but says no hello".to_owned(),
        };
        let said = self.said.lock().map(|said| said.trim().replace('\n', "; ")).unwrap_or_default();
        if said.is_empty() { end } else { format!("{end}: {said}") }
    }
}

fn keep_the_end(mut stream: impl Read, said: &Mutex<String>) {
    const KEPT: usize = 400;
    let mut buffer = [0; 4096];
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        let Ok(mut said) = said.lock() else { return };
        said.push_str(&String::from_utf8_lossy(&buffer[..size]));
        let from = said.len().saturating_sub(KEPT);
        let from = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(from);
        said.drain(..from);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What is gone already needs none of this.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
