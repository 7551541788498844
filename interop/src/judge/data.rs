//! What cases put into User Data chunks.

use rtmfp::{
    rtmp::{Command, Value},
    wire::{
        chunk::{
            FragmentControl, HEADER_LEN, UserDataHeader, flow_option, put_next_user_data_header,
        },
        put_marker, put_option, put_vlu,
    },
};

/// Our flow that carries `connect`.
pub const CONTROL: u64 = 2;

/// A User Data chunk to be.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Our number for the flow.
    pub flow: u64,
    /// From 1.
    pub sequence: u64,
    /// Nothing up to here comes any more.
    pub forward_sequence: u64,
    /// Encoded, with a marker; or empty.
    pub options: &'a [u8],
    /// Its part of the message.
    pub fragment: FragmentControl,
    /// ABN
    pub is_abandoned: bool,
    /// FIN
    pub is_final: bool,
    /// The fragment.
    pub payload: &'a [u8],
}

impl Default for Data<'_> {
    fn default() -> Self {
        Self {
            flow: CONTROL,
            sequence: 1,
            forward_sequence: 0,
            options: &[],
            fragment: FragmentControl::Whole,
            is_abandoned: false,
            is_final: false,
            payload: &[],
        }
    }
}

/// Writes a User Data chunk with any options.
pub fn put_data(out: &mut Vec<u8>, data: &Data<'_>) {
    let start = out.len();
    let header = UserDataHeader {
        flow: data.flow,
        sequence: data.sequence,
        forward_sequence: data.forward_sequence,
        fragment: data.fragment,
        abandoned: data.is_abandoned,
        is_final: data.is_final,
    };
    header.put(out, data.options);
    out.extend_from_slice(data.payload);
    fill_in_length(out, start);
}

/// Writes a Next User Data chunk without options.
pub fn put_next_data(out: &mut Vec<u8>, fragment: FragmentControl, payload: &[u8]) {
    let start = out.len();
    put_next_user_data_header(out, fragment, false, false);
    out.extend_from_slice(payload);
    fill_in_length(out, start);
}

fn fill_in_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start - HEADER_LEN) as u16;
    out[start + 1..start + HEADER_LEN].copy_from_slice(&length.to_be_bytes());
}

/// Options of a flow with this metadata.
pub fn options(metadata: &[u8], association: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    put_option(&mut out, flow_option::METADATA, metadata);
    if let Some(flow) = association {
        let mut value = Vec::new();
        put_vlu(&mut value, flow);
        put_option(&mut out, flow_option::RETURN_ASSOCIATION, &value);
    }
    put_marker(&mut out);
    out
}

/// `connect` with what Flash Player says of itself.
pub fn connect_command(url: &str) -> Command {
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let mut command = Command::new("connect", 1.0, Vec::new());
    command.object = Value::object([
        ("app", Value::string(path)),
        ("flashVer", Value::string("MAC 13,0,0,214")),
        ("tcUrl", Value::string(url)),
        ("fpad", Value::Boolean(false)),
        ("capabilities", Value::Number(235.0)),
        ("audioCodecs", Value::Number(3575.0)),
        ("videoCodecs", Value::Number(252.0)),
        ("videoFunction", Value::Number(1.0)),
        ("objectEncoding", Value::Number(3.0)),
    ]);
    command
}
