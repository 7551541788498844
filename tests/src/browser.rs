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

/// What a page is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// The person prefers dark colours.
    pub is_dark: bool,
}

impl Look {
    /// A screen on a desk.
    pub const DESKTOP: Self = Self { width: 1400, height: 900, is_dark: false };
    /// A telephone.
    pub const PHONE: Self = Self { width: 390, height: 844, is_dark: false };

    /// The same at night.
    pub fn dark(self) -> Self {
        Self { is_dark: true, ..self }
    }
}

impl Page {
    /// Looks at it in another way.
    pub fn look(&mut self, look: Look) {
        let Look { width, height, is_dark } = look;
        let is_phone = width < 600;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone }),
        );
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Writes a screenshot into the folder that the variable SCREENSHOTS names, if it does.
    pub fn keep_screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else { return };
        let picture = decode_base64(&self.screenshot());
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, picture).expect("the folder for screenshots can be written");
    }

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

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let digits: Vec<u32> = digits.map(|digit| digit as u32).collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    });
    groups.collect()
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
