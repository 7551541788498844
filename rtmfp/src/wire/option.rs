//! Options and option lists, RFC 7016 §2.1.3 and §2.1.4.

use super::reader::{Malformed, Reader, put_vlu, vlu_len};

/// One element of an option list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionItem<'a> {
    /// An option: its type and its value.
    Option(u64, &'a [u8]),
    /// A length of zero: the end of a list, or a separator.
    Marker,
}

/// Iterates the options of a byte string; ends at its end or at the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    reader: Reader<'a>,
}

impl<'a> Options<'a> {
    /// Over all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// Reads one element from a larger structure.
    pub fn read(reader: &mut Reader<'a>) -> Result<OptionItem<'a>, Malformed> {
        let body = reader.bytes_vlu()?;
        if body.is_empty() {
            return Ok(OptionItem::Marker);
        }
        let mut body = Reader::new(body);
        let kind = body.vlu()?;
        Ok(OptionItem::Option(kind, body.rest()))
    }

    /// Reads a list up to and with its marker, and hands out the bytes of its options.
    pub fn read_list(reader: &mut Reader<'a>) -> Result<Options<'a>, Malformed> {
        let start = *reader;
        loop {
            let before = reader.remaining();
            if Self::read(reader)? == OptionItem::Marker {
                let mut list = start;
                let bytes = list.bytes(start.remaining() - before)?;
                return Ok(Options::new(bytes));
            }
        }
    }

    /// The value of the first option of this type.
    pub fn find(self, wanted: u64) -> Option<&'a [u8]> {
        self.into_iter().find_map(|item| match item {
            OptionItem::Option(kind, value) if kind == wanted => Some(value),
            _ => None,
        })
    }

    /// The bytes not iterated yet, for measuring what was consumed.
    pub fn remaining(&self) -> usize {
        self.reader.remaining()
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = OptionItem<'a>;

    fn next(&mut self) -> Option<OptionItem<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        match Self::read(&mut self.reader) {
            Ok(item) => Some(item),
            Err(Malformed) => {
                self.reader.rest();
                None
            }
        }
    }
}

/// Appends an option: length, type, value.
pub fn put_option(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    put_vlu(out, (vlu_len(kind) + value.len()) as u64);
    put_vlu(out, kind);
    out.extend_from_slice(value);
}

/// Appends a marker, which ends an option list.
pub fn put_marker(out: &mut Vec<u8>) {
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_round_trips() {
        let mut out = Vec::new();
        put_option(&mut out, 0x0a, b"x");
        put_option(&mut out, 0x2001, &[7; 200]);
        put_marker(&mut out);
        out.extend_from_slice(b"tail");
        let mut reader = Reader::new(&out);
        let list = Options::read_list(&mut reader).unwrap();
        assert_eq!(reader.rest(), b"tail");
        assert_eq!(list.find(0x0a), Some(&b"x"[..]));
        assert_eq!(list.find(0x2001), Some(&[7u8; 200][..]));
        assert_eq!(list.count(), 2);
    }

    #[test]
    fn iteration_stops_at_a_truncated_option() {
        let items: Vec<_> = Options::new(&[2, 5, 6, 9, 1]).collect();
        assert_eq!(items, [OptionItem::Option(5, &[6])]);
    }
}
