//! Headless Chromium, driven over its debugging protocol.

use std::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client};

use crate::Process;

/// A page in a browser.
pub struct Page {
    socket: WebSocket<TcpStream>,
    next_id: u64,
    _browser: Process,
    _profile: tempfile::TempDir,
}

impl Page {
    /// Opens `url`.
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let browser = Process::spawn(Command::new("chromium").args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--autoplay-policy=no-user-gesture-required",
            "--window-size=1400,900",
            "--remote-debugging-port=0",
            &format!("--user-data-dir={}", profile.path().display()),
            url,
        ]));
        let port = wait_for(Duration::from_secs(30), || {
            let text = std::fs::read_to_string(profile.path().join("DevToolsActivePort")).ok()?;
            text.lines().next()?.parse::<u16>().ok()
        })
        .unwrap_or_else(|| panic!("chromium does not start: {}", browser.stderr()));
        let socket_url =
            wait_for(Duration::from_secs(30), || page_socket(port, url)).expect("the page opens");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("chromium listens");
        let (socket, _) = client(socket_url, stream).expect("chromium speaks its protocol");
        Self { socket, next_id: 0, _browser: browser, _profile: profile }
    }

    /// Calls a method of the protocol.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let request = json!({ "id": self.next_id, "method": method, "params": params });
        self.socket.send(Message::text(request.to_string())).expect("chromium is there");
        loop {
            let message = self.socket.read().expect("chromium answers");
            let Ok(text) = message.to_text() else { continue };
            let Ok(answer) = serde_json::from_str::<Value>(text) else { continue };
            if answer["id"] == self.next_id {
                return answer["result"].clone();
            }
        }
    }

    /// The value of a JavaScript expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", params)["result"]["value"].clone()
    }

    /// A screenshot as base64 of PNG.
    pub fn screenshot(&mut self) -> String {
        self.call("Page.captureScreenshot", json!({}))["data"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Where the page's debugging socket is; asked by hand, for it is one line of HTTP.
fn page_socket(port: u16, url: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    write!(stream, "GET /json/list HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let body = &answer[answer.find("\r\n\r\n")? + 4..];
    let pages: Vec<Value> = serde_json::from_str(body.trim()).ok()?;
    let page =
        pages.iter().find(|page| page["url"].as_str().is_some_and(|open| open.starts_with(url)))?;
    Some(page["webSocketDebuggerUrl"].as_str()?.to_owned())
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}
