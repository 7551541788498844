//! Decoders take any bytes; what they made of them encodes, and decodes to the same again.

use bolero::check;
use bytes::Bytes;
use flvcast::flv::{Demuxer, Tag, put_tag};
use netgroup::{
    GroupSpec,
    wire::{Availability, Fragment, Join, MediaControl, Report},
};
use rtmfp::{
    ServerUrl,
    crypto::{Certificate, Discriminator, Identity, PacketKeys},
    rtmp::{Command, FlowMetadata, Message, UserControl, Value, amf0, amf3},
    wire::{Address, Chunk, Chunks, OptionItem, Options, PacketHeader, Reader, chunk::UserData},
};

use crate::assert_heap_is_bounded;

#[test]
fn packets() {
    check!().for_each(|input: &[u8]| {
        let mut reader = Reader::new(input);
        if PacketHeader::read(&mut reader).is_ok() {
            Chunks::new(reader).for_each(|chunk| walk(&chunk));
        }
        if let Some((kind, payload)) = input.split_first()
            && let Ok(chunk) = Chunk::decode(*kind, payload)
        {
            walk(&chunk);
        }
    });
}

/// Follows every list in a chunk to its end.
fn walk(chunk: &Chunk<'_>) {
    match chunk {
        Chunk::UserData(data) => {
            assert!(data.forward_sequence <= data.sequence);
            data.body.options.into_iter().flatten().for_each(|item| drop(format!("{item:?}")));
        }
        Chunk::DataAck(ack) => {
            let mut last = ack.cumulative;
            for (first, end) in ack.ranges() {
                assert!(last < first && first <= end, "{first}..={end} after {last}");
                last = end;
            }
        }
        Chunk::Redirect(redirect) => drop(redirect.addresses().collect::<Vec<_>>()),
        other => drop(format!("{other:?}")),
    }
}

#[test]
fn user_data() {
    check!().for_each(|input: &[u8]| {
        let Ok(data) = UserData::decode(input) else { return };
        let mut again = Vec::new();
        rtmfp::wire::chunk::UserDataHeader {
            flow: data.flow,
            sequence: data.sequence,
            forward_sequence: data.forward_sequence,
            fragment: data.body.fragment,
            abandoned: data.body.abandoned,
            is_final: data.body.is_final,
        }
        .put(&mut again, &[]);
        again.extend_from_slice(data.body.data);
        let read = UserData::decode(&again[3..]).expect("what we write");
        assert_eq!((read.flow, read.sequence), (data.flow, data.sequence));
        assert_eq!(
            (read.forward_sequence, read.body.data),
            (data.forward_sequence, data.body.data)
        );
    });
}

#[test]
fn datagrams() {
    check!().for_each(|input: &[u8]| {
        let mut copy = input.to_vec();
        let _ = PacketKeys::default().open(&mut copy);
    });
}

#[test]
fn options_and_addresses() {
    check!().for_each(|input: &[u8]| {
        let _ = Options::read_list(&mut Reader::new(input));
        let items: Vec<OptionItem<'_>> = Options::new(input).collect();
        assert!(items.len() <= input.len());
        for address in Address::read_all(input) {
            let mut again = Vec::new();
            address.put(&mut again);
            assert_eq!(Address::read(&mut Reader::new(&again)), Ok(address));
        }
    });
}

#[test]
fn certificates_and_discriminators() {
    let own = Identity::server(&[7; 64]);
    check!().for_each(|input: &[u8]| {
        let wanted = Discriminator::decode(input);
        assert_eq!(Discriminator::decode(&wanted.encode()), wanted);
        let _ = (wanted.selects(own.certificate()), wanted.uri());
        let Ok(certificate) = Certificate::decode(input) else { return };
        assert_eq!(certificate.bytes(), input);
        let by_name = Discriminator::Fingerprint(certificate.peer_id());
        assert!(by_name.selects(&certificate));
    });
}

#[test]
fn urls() {
    check!().for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(url) = text.parse::<ServerUrl>() else { return };
        assert!(!url.host().is_empty());
        let _ = (url.app(), url.pinned(), url.discriminator());
    });
}

/// Not by `==`, for NaN is not itself.
fn encoded(encode: fn(&mut Vec<u8>, &Value), value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, value);
    out
}

#[test]
fn amf0_values() {
    check!().for_each(|input: &[u8]| {
        let values = amf0::decode_all(input);
        assert_heap_is_bounded();
        for value in values {
            let once = encoded(amf0::encode, &value);
            let again = amf0::decode(&mut Reader::new(&once)).expect("what we write");
            assert_eq!(encoded(amf0::encode, &again), once);
        }
    });
}

#[test]
fn amf3_values() {
    check!().for_each(|input: &[u8]| {
        let Ok(value) = amf3::decode(&mut Reader::new(input)) else { return };
        assert_heap_is_bounded();
        let once = encoded(amf3::encode, &value);
        let again = amf3::decode(&mut Reader::new(&once)).expect("what we write");
        assert_eq!(encoded(amf3::encode, &again), once);
    });
}

#[test]
fn rtmp_messages() {
    check!().for_each(|input: &[u8]| {
        if let Ok(event) = UserControl::decode(input) {
            let message = Message::decode(&event.encode()).expect("what we write");
            assert_eq!(UserControl::decode(&message.payload), Ok(event));
        }
        if let Ok(metadata) = FlowMetadata::decode(input) {
            assert_eq!(FlowMetadata::decode(&metadata.encode()), Ok(metadata));
        }
        let Ok(message) = Message::decode(&Bytes::copy_from_slice(input)) else { return };
        assert_eq!(Message::decode(&message.to_bytes()).as_ref(), Ok(&message));
        if let Ok(command) = Command::decode(&message) {
            let _ = (command.status_code(), command.encode());
        }
        assert_heap_is_bounded();
    });
}

#[test]
fn group_messages() {
    check!().for_each(|input: &[u8]| {
        if let Some(report) = Report::decode(input) {
            // Of many addresses it passes on those that librtmfp can read.
            let passed_on = report.encode();
            let again = Report::decode(&passed_on).expect("what we write");
            assert_eq!(again.encode(), passed_on);
        }
        if let Some(join) = Join::decode(input) {
            assert_eq!(Join::decode(&join.encode()), Some(join));
        }
        if let Some(message) = MediaControl::decode(input) {
            assert_eq!(MediaControl::decode(&message.encode()), Some(message));
        }
        if let Some(map) = Availability::decode(input) {
            assert!(!map.has(0) && !map.has(u64::MAX) || map.first() > 0);
        }
        assert_heap_is_bounded();
    });
}

#[test]
fn fragments() {
    check!().for_each(|input: &[u8]| {
        let Some(fragment) = Fragment::decode(&Bytes::copy_from_slice(input)) else { return };
        let remaining = usize::from(fragment.has_more);
        let again = Fragment::encode(fragment.id, fragment.start, remaining, &fragment.payload);
        assert_eq!(Fragment::decode(&again), Some(fragment));
    });
}

#[test]
fn groupspecs() {
    check!().for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(spec) = text.parse::<GroupSpec>() else { return };
        let again: GroupSpec = format!("{}00", spec.canonical()).parse().expect("without its end");
        assert_eq!((again.name(), again.group_id()), (spec.name(), spec.group_id()));
    });
}

/// Tags of a file that comes in pieces of the given size, and whether it was undamaged.
fn demux(input: &[u8], piece: usize) -> (Vec<Tag>, bool) {
    let mut demuxer = Demuxer::default();
    let mut tags = Vec::new();
    for bytes in input.chunks(piece) {
        demuxer.push(bytes);
        while let Ok(Some(tag)) = demuxer.next_tag() {
            tags.push(tag);
        }
    }
    (tags, demuxer.skipped().places == 0)
}

#[test]
fn flv_files() {
    check!().for_each(|input: &[u8]| {
        let (tags, is_sound) = demux(input, input.len().max(1));
        assert_heap_is_bounded();
        let bytewise = demux(input, 1);
        assert!(!is_sound || bytewise == (tags.clone(), true), "the size of pieces matters");
        let mut again = flvcast::flv::file_header(flvcast::flv::Tracks::BOTH).to_vec();
        tags.iter().for_each(|tag| put_tag(&mut again, tag));
        assert_eq!(demux(&again, 4096), (tags, true));
    });
}
