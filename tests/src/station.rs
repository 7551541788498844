//! `flvcast serve` with a file, and where its pages are.

use std::{path::PathBuf, process::Command, time::Duration};

use serde_json::Value;

use crate::{
    Process, Server,
    browser::wait_for,
    web::{Answer, ask, get},
};

const SOON: Duration = Duration::from_secs(30);

/// A station that runs.
pub struct Station {
    /// The rendezvous server.
    pub server: Server,
    /// For what the test makes.
    pub folder: tempfile::TempDir,
    /// The program.
    pub process: Process,
    /// Where viewers look.
    pub http: String,
    /// Where the operator looks.
    pub console: String,
    head: String,
}

impl Station {
    /// Runs channels. `head` is what stands before them but for the addresses; what is written
    /// there of files lies in the folder.
    pub fn start(folder: tempfile::TempDir, head: &str, channels: &str) -> Self {
        let server = Server::start();
        let head = format!(
            "server = \"{}\"\nhttp = \"127.0.0.1:0\"\nconsole = \"127.0.0.1:0\"\n{head}\n",
            server.url
        );
        let file = folder.path().join("channels.toml");
        std::fs::write(&file, format!("{head}{channels}")).expect("a file");
        let mut command = Command::new(crate::bin("flvcast"));
        let process =
            Process::spawn(command.arg("serve").arg("channels.toml").current_dir(folder.path()));
        let said = |what: &str| {
            let found = wait_for(SOON, || {
                let said = process.stderr();
                let (_, after) = said.split_once(&format!("{what}: http://"))?;
                after.split_once('/').map(|(address, _)| address.to_owned())
            });
            found.unwrap_or_else(|| panic!("no {what}: {}", process.stderr()))
        };
        let (http, console) = (said("channels"), said("console"));
        Self { server, folder, process, http, console, head }
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the file anew and has it read.
    pub fn reload(&self, channels: &str) {
        let text = format!("{}{channels}", self.head);
        std::fs::write(self.path("channels.toml"), text).expect("a file");
        self.process.signal("HUP");
    }

    /// What the console knows of a channel.
    pub fn view(&self, name: &str) -> Option<Value> {
        let status = get(&self.console, "/api/status").json();
        let channels = status["channels"].as_array()?.clone();
        channels.into_iter().find(|channel| channel["name"] == name)
    }

    /// Waits until something is true of a channel.
    pub fn wait_for(&self, name: &str, what: &str, is_true: impl Fn(&Value) -> bool) -> Value {
        let found = wait_for(SOON, || self.view(name).filter(&is_true));
        found.unwrap_or_else(|| {
            panic!("'{name}' is not {what}: {:?}; {}", self.view(name), self.process.stderr())
        })
    }

    /// Waits until a channel plays.
    pub fn wait_for_live(&self, name: &str) -> Value {
        self.wait_for(name, "live", |view| view["shown"]["state"] == "live")
    }

    /// Gives an order.
    pub fn order(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(&self.console, method, path, &["X-Flvcast: 1"], body)
    }
}
