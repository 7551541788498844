//! What the server says in commands.

use std::net::SocketAddr;

use rtmfp::rtmp::{Command, Value};

/// What Flash needs to see; the encoding is the one it asked for.
pub(super) fn connected(connect: &Command) -> Command {
    let encoding =
        connect.object.member("objectEncoding").and_then(Value::as_number).unwrap_or(3.0);
    let info = Value::object([
        ("level", Value::string("status")),
        ("code", Value::string("NetConnection.Connect.Success")),
        ("description", Value::string("Connection succeeded")),
        ("objectEncoding", Value::Number(encoding)),
    ]);
    Command::new("_result", connect.transaction, vec![info])
}

pub(super) fn rejected(connect: &Command) -> Command {
    let info = info(
        "error",
        "NetConnection.Connect.Rejected",
        "this path requires HMACs and sequence numbers",
    );
    Command::new("_error", connect.transaction, vec![info])
}

pub(super) fn result(call: &Command, value: Value) -> Command {
    Command::new("_result", call.transaction, vec![value])
}

pub(super) fn unknown_call(call: &Command) -> Command {
    let text = format!("Method not found ({})", call.name);
    let info = info("error", "NetConnection.Call.Failed", &text);
    let name = if call.transaction > 0.0 { "_error" } else { "onStatus" };
    Command::new(name, call.transaction, vec![info])
}

/// As rtmfp-cpp's server tells it.
pub(super) fn address_changed(address: SocketAddr) -> Command {
    let info = Value::object([
        ("level", Value::string("status")),
        ("code", Value::string("NetConnection.AddressChange.Notify")),
        ("description", Value::string("Your address has changed")),
        ("publicAddress", Value::string(address.to_string())),
    ]);
    Command::new("onStatus", 0.0, vec![info])
}

pub(super) fn status(code: &str, description: &str) -> Command {
    Command::new("onStatus", 0.0, vec![info("status", code, description)])
}

pub(super) fn failure(code: &str, description: &str) -> Command {
    Command::new("onStatus", 0.0, vec![info("error", code, description)])
}

fn info(level: &str, code: &str, description: &str) -> Value {
    Value::object([
        ("level", Value::string(level)),
        ("code", Value::string(code)),
        ("description", Value::string(description)),
    ])
}
