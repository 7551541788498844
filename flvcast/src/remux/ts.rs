//! MPEG transport streams, ISO 13818-1: which streams there are, and their frames.

use std::collections::BTreeMap;

use broadcast_common::Parse;
use mpeg_pes::{PesAssembler, PesPacket};
use mpeg_ts::{
    pid::{Pid, well_known},
    resync::TsResync,
    section::Section,
    ts::{SectionReassembler, TsPacket},
};

use super::{
    Frame, Unit,
    audio::{Sound, SoundFrame},
    nal::Pictures,
};
use crate::flv::Codec;

/// A frame larger than this is none.
const MAX_UNIT: usize = 16 << 20;
/// Streams of a programme.
const MAX_STREAMS: usize = 16;
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Timestamps have 33 bits.
const WRAP: i64 = 1 << 33;

/// Segments or pieces in, units out.
#[derive(Default)]
pub struct Ts {
    resync: TsResync,
    packets: Vec<[u8; PACKET]>,
    programmes: SectionReassembler,
    programme: Option<Pid>,
    streams_table: SectionReassembler,
    streams: BTreeMap<Pid, Stream>,
    /// The latest time, for what wraps.
    clock: Option<i64>,
    /// Stream types that FLV cannot carry.
    unknown: Vec<u8>,
}

struct Stream {
    kind: u8,
    assembler: PesAssembler,
    continuity: Option<u8>,
    decoder: Decoder,
}

enum Decoder {
    Pictures(Pictures, Codec),
    Sound(Sound, Codec),
    /// Not looked at.
    None,
}

impl Decoder {
    /// ISO 13818-1 table 2-34.
    fn of(kind: u8) -> Self {
        match kind {
            0x1b => Self::Pictures(Pictures::new(Codec::AVC), Codec::AVC),
            0x24 => Self::Pictures(Pictures::new(Codec::HEVC), Codec::HEVC),
            0x0f => Self::Sound(Sound::new(Codec::AAC), Codec::AAC),
            0x03 | 0x04 => Self::Sound(Sound::new(Codec::MP3), Codec::MP3),
            _ => Self::None,
        }
    }
}

impl Ts {
    /// A whole segment. What has packets of 188, 192 or 204 bytes throughout is read as such; else
    /// packets are looked for.
    pub fn take_segment(&mut self, bytes: &[u8], out: &mut Vec<Unit>) {
        let fits = |(size, skip): &(usize, usize)| {
            let packets = bytes.chunks_exact(*size);
            packets.len() > 0 && packets.take(64).all(|packet| packet[*skip] == SYNC)
        };
        match [(PACKET, 0), (192, 4), (204, 0)].into_iter().find(fits) {
            Some((size, skip)) => {
                for packet in bytes.chunks_exact(size) {
                    self.take_packet(&packet[skip..skip + PACKET], out);
                }
            }
            None => {
                let mut packets = std::mem::take(&mut self.packets);
                self.resync.feed_into(bytes, &mut packets);
                packets.drain(..).for_each(|packet| self.take_packet(&packet, out));
                self.packets = packets;
                self.resync.finish();
                self.resync.take_losses();
            }
        }
        self.finish(out);
    }

    /// Stream types that were passed over, once each.
    pub fn take_unknown(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unknown)
    }

    /// The segment is over: many packagers count anew in the next.
    fn finish(&mut self, out: &mut Vec<Unit>) {
        let pids: Vec<Pid> = self.streams.keys().copied().collect();
        for pid in pids {
            let Some(stream) = self.streams.get_mut(&pid) else { continue };
            stream.continuity = None;
            if let Some(unit) = stream.assembler.flush() {
                self.take_unit(pid, &unit, out);
            }
        }
    }

    fn take_packet(&mut self, bytes: &[u8], out: &mut Vec<Unit>) {
        let Ok(packet) = TsPacket::parse(bytes) else { return };
        let (pid, is_start) = (packet.header.pid, packet.header.pusi);
        let Some(payload) = packet.payload else { return };
        if packet.header.tei || packet.header.scrambling != 0 {
            return;
        }
        if pid == well_known::PAT {
            self.programmes.feed(payload, is_start);
            while let Some(section) = self.programmes.pop_section() {
                self.take_programmes(&section);
            }
        } else if Some(pid) == self.programme {
            self.streams_table.feed(payload, is_start);
            while let Some(section) = self.streams_table.pop_section() {
                self.take_streams(&section, out);
            }
        } else if let Some(stream) = self.streams.get_mut(&pid) {
            let counter = packet.header.continuity_counter;
            let breaks = matches!(packet.adaptation_field(), Some(Ok(field)) if field.discontinuity_indicator);
            // A packet may come twice.
            if stream.continuity.replace(counter) == Some(counter) && !breaks {
                return;
            }
            if let Some(unit) = stream.assembler.feed(is_start, payload) {
                self.take_unit(pid, &unit, out);
            }
        }
    }

    fn take_programmes(&mut self, bytes: &[u8]) {
        let Some(payload) = section(bytes, 0) else { return };
        let first = payload.chunks_exact(4).find(|entry| entry[..2] != [0, 0]);
        let pid = first.map(|entry| Pid::new(u16::from_be_bytes([entry[2], entry[3]])));
        if pid.is_some() && pid != self.programme {
            self.programme = pid;
            self.streams_table = SectionReassembler::default();
        }
    }

    fn take_streams(&mut self, bytes: &[u8], out: &mut Vec<Unit>) {
        let Some(listed) = section(bytes, 2).and_then(streams) else { return };
        let is_listed = |pid: &Pid, kind: u8| listed.contains(&(kind, *pid));
        let gone: Vec<Pid> = self
            .streams
            .iter()
            .filter(|(pid, stream)| !is_listed(pid, stream.kind))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in gone {
            if let Some(unit) =
                self.streams.get_mut(&pid).and_then(|stream| stream.assembler.flush())
            {
                self.take_unit(pid, &unit, out);
            }
            self.streams.remove(&pid);
        }
        for (kind, pid) in listed.into_iter().take(MAX_STREAMS) {
            self.streams.entry(pid).or_insert_with(|| {
                let decoder = Decoder::of(kind);
                if matches!(decoder, Decoder::None) {
                    self.unknown.push(kind);
                }
                let assembler = PesAssembler::with_max_unit_size(MAX_UNIT);
                Stream { kind, assembler, continuity: None, decoder }
            });
        }
        self.only_first_of_a_kind();
    }

    /// Of several sounds or pictures the first is taken.
    fn only_first_of_a_kind(&mut self) {
        let (mut has_pictures, mut has_sound) = (false, false);
        for stream in self.streams.values_mut() {
            let taken = match stream.decoder {
                Decoder::Pictures(..) => std::mem::replace(&mut has_pictures, true),
                Decoder::Sound(..) => std::mem::replace(&mut has_sound, true),
                Decoder::None => false,
            };
            if taken {
                stream.decoder = Decoder::None;
            }
        }
    }

    fn take_unit(&mut self, pid: Pid, bytes: &[u8], out: &mut Vec<Unit>) {
        let Ok(packet) = PesPacket::parse(bytes) else { return };
        let header = packet.header.as_ref();
        let pts = header.and_then(|header| header.pts).map(|pts| self.unwrap(pts.0));
        let dts = header.and_then(|header| header.dts).map(|dts| self.unwrap(dts.0)).or(pts);
        let Some(stream) = self.streams.get_mut(&pid) else { return };
        match &mut stream.decoder {
            Decoder::Pictures(pictures, codec) => {
                let (Some(pts), Some(dts)) = (pts, dts) else { return };
                let unit = pictures.take(packet.payload);
                let codec = *codec;
                out.extend(unit.record.map(|record| Unit::Parameters { codec, record }));
                if !unit.data.is_empty() {
                    let (is_key, data) = (unit.is_key, unit.data);
                    out.push(Unit::Frame(Frame { codec, dts, pts, is_key, data }));
                }
            }
            Decoder::Sound(sound, codec) => {
                let (codec, mut frames) = (*codec, Vec::new());
                sound.take(packet.payload, pts, &mut frames);
                for SoundFrame { config, time, data } in frames {
                    out.extend(config.map(|record| Unit::Parameters { codec, record }));
                    out.push(Unit::Frame(Frame {
                        codec,
                        dts: time,
                        pts: time,
                        is_key: true,
                        data,
                    }));
                }
            }
            Decoder::None => {}
        }
    }

    /// A time as near to the latest as 33 bits allow.
    fn unwrap(&mut self, time: u64) -> i64 {
        let time = time.cast_signed();
        let unwrapped = self.clock.map_or(time, |clock| {
            let ahead = (time - clock).rem_euclid(WRAP);
            clock + if ahead >= WRAP / 2 { ahead - WRAP } else { ahead }
        });
        self.clock = Some(unwrapped);
        unwrapped
    }
}

/// The payload of a section of this table that is whole and in force.
fn section(bytes: &[u8], table: u8) -> Option<&[u8]> {
    let section = Section::parse(bytes).ok()?;
    section.validate_crc(bytes).ok()?;
    (section.table_id == table && section.current_next_indicator).then_some(section.payload)
}

/// Types and packet IDs, ISO 13818-1 §2.4.4.8.
fn streams(payload: &[u8]) -> Option<Vec<(u8, Pid)>> {
    let length = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]) & 0x0fff);
    let mut rest = payload.get(4 + length(payload.get(2..4)?)..)?;
    let mut streams = Vec::new();
    while let [kind, high, low, more @ ..] = rest
        && more.len() >= 2
    {
        streams.push((*kind, Pid::new(u16::from_be_bytes([*high, *low]) & 0x1fff)));
        rest = more.get(2 + length(more)..).unwrap_or_default();
    }
    Some(streams)
}
