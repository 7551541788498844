//! Child processes, and what the operating system says of a process.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::Serialize;

use super::AnyError;

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// Seconds of user and system time.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// The most it ever was.
    pub peak_bytes: u64,
}

impl Usage {
    /// Of a process that runs, from `/proc`.
    pub fn of(pid: u32) -> Result<Self, AnyError> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| {
            format!("cannot read /proc/{pid}: {error}; is that process running?")
        })?;
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Ok(Self {
            cpu_seconds: cpu_seconds(pid)?,
            resident_bytes: kilobytes("VmRSS:").unwrap_or(0) * 1024,
            peak_bytes: kilobytes("VmHWM:").unwrap_or(0) * 1024,
        })
    }

    /// Of this process.
    pub fn own() -> Result<Self, AnyError> {
        Self::of(std::process::id())
    }

    /// CPU time since an earlier look; memory as it is now.
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - earlier.cpu_seconds, ..self }
    }
}

/// In nanoseconds by thread where the kernel keeps them; threads that ended are in the ticks only.
fn cpu_seconds(pid: u32) -> Result<f64, AnyError> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        nanoseconds += run_time(&task?.path().join("schedstat"));
    }
    Ok((nanoseconds / 1e9).max(ticks(pid).unwrap_or(0.0)))
}

/// Threads of a process.
pub fn threads(pid: u32) -> Result<usize, AnyError> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

/// Its open sockets.
pub fn sockets(pid: u32) -> Result<usize, AnyError> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// CPU time of the calling thread.
pub fn thread_cpu_seconds() -> f64 {
    run_time(std::path::Path::new("/proc/thread-self/schedstat")) / 1e9
}

fn run_time(schedstat: &std::path::Path) -> f64 {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// User and system time of a process, in hundredths of a second as Linux tells them.
fn ticks(pid: u32) -> Option<f64> {
    const BEFORE_UTIME: usize = 11;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(BEFORE_UTIME);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// A copy of this program in another role. It is told to end by the end of its input.
#[derive(Debug)]
pub struct Role {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// Starts it.
    pub fn start(name: &str, arguments: &[String]) -> Result<Self, AnyError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", name])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no output of the child")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> Result<String, AnyError> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("the measured process ended early".into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    /// Tells it to begin.
    pub fn go(&mut self) -> Result<(), AnyError> {
        let input = self.input.as_mut().ok_or("the child was told to end")?;
        input.write_all(b"!")?;
        Ok(input.flush()?)
    }

    /// Tells it to end, and waits.
    pub fn end(mut self) -> Result<(), AnyError> {
        drop(self.input.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
