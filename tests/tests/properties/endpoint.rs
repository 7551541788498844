//! One endpoint under any sequence of datagrams, timeouts and commands.

use std::time::Duration;

use bolero::check;
use rtmfp::{
    Config, Event, FlowEvent, FlowOptions, ReceiveOrder,
    crypto::{Discriminator, PeerId, Policy, Protection},
    wire::{Address, Mode, Origin, chunk::put_chunk, put_vlu},
};
use simnet::forger::Forger;

use crate::{assert_heap_is_bounded, script::Script};

const MODES: [Mode; 3] = [Mode::Initiator, Mode::Responder, Mode::Startup];
const KINDS: [u8; 20] = [
    0x10, 0x11, 0x50, 0x51, 0x18, 0x5e, 0x01, 0x41, 0x0f, 0x7f, 0xec, 0x0c, 0x4c, 0x30, 0x70, 0x71,
    0x79, 0x38, 0x78, 0x66,
];
/// Steps of one input; more repeat what fewer find.
const MAX_STEPS: usize = 400;
/// What one session may hold of messages half received: see `ReceiveLimits`.
const MAX_FLOWS_NOTED: usize = 16;

#[test]
fn any_datagrams_timeouts_and_commands() {
    check!().for_each(|input: &[u8]| {
        let mut script = Script::new(input);
        let policy = [Protection::Off, Protection::Require][script.below(2)];
        let mut config = Config { introduces: true, max_sessions: 50, ..Config::default() };
        config.protection.default = Policy::both(policy);
        let mut run = Run { forger: Forger::new(config), near: Vec::new(), far: Vec::new() };
        for _ in 0..MAX_STEPS {
            if script.is_over() {
                break;
            }
            run.step(&mut script);
        }
        run.drain();
        assert_heap_is_bounded();
        run.end();
    });
}

struct Run {
    forger: Forger,
    /// Flows of the endpoint.
    near: Vec<u64>,
    /// Flows of the forger.
    far: Vec<u64>,
}

impl Run {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0..6 => {
                let mode = MODES[script.below(2)];
                self.forger.send(mode, |out| put_chunks(out, script));
            }
            6..8 => {
                let mode = MODES[script.below(3)];
                self.forger.send_startup(mode, |out| put_chunks(out, script));
            }
            8 => self.forger.send_raw(script.bytes(200).to_vec()),
            9..11 => self.forger.pass(Duration::from_millis(script.u16().into())),
            11 => self.forger.path.remote.set_port(u16::from(script.byte()) + 1),
            12 => self.open(script),
            _ => self.command(script),
        }
        self.drain();
    }

    fn open(&mut self, script: &mut Script<'_>) {
        let (now, endpoint) = (self.forger.now, &mut self.forger.endpoint);
        let wanted = match script.below(3) {
            0 => Discriminator::AncillaryData(script.bytes(40).to_vec()),
            1 => Discriminator::Hostname { name: script.bytes(40).to_vec(), ancillary_data: None },
            _ => Discriminator::Fingerprint(PeerId([script.byte(); 32])),
        };
        let remote = ([192, 0, 2, script.byte()], 7).into();
        match endpoint.open(now, wanted, &[remote]) {
            Ok(id) if script.is_rare(128) => endpoint.cancel_open(id),
            Ok(id) => endpoint.add_candidates(now, id, &[self.forger.path.remote]),
            Err(_) => {}
        }
        let address = Address::new(remote, Origin::Observed);
        endpoint.redirect(now, self.forger.path, script.bytes(16), &[address]);
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let now = self.forger.now;
        let Some(mut session) = self.forger.endpoint.session(self.forger.session) else { return };
        let near = pick(&self.near, script);
        let far = pick(&self.far, script);
        match script.below(8) {
            0 if self.near.len() < MAX_FLOWS_NOTED => {
                let flow = session.open_flow(script.bytes(600), far, FlowOptions::default());
                self.near.push(flow);
            }
            0..3 => {
                let Some(flow) = near else { return };
                let message = vec![7; usize::from(script.u16()) / 4];
                let lasts = Duration::from_millis(script.u16().into());
                let deadline = script.is_rare(100).then(|| now + lasts);
                let _ = session.send(now, flow, message.into(), deadline);
            }
            3 => near.into_iter().for_each(|flow| session.close_flow(now, flow)),
            4 => far.into_iter().for_each(|flow| session.reject_flow(now, flow, script.number())),
            5 => {
                let is_suspended = script.is_rare(128);
                far.into_iter().for_each(|flow| session.suspend_flow(now, flow, is_suspended));
            }
            6 => far
                .into_iter()
                .for_each(|flow| session.set_receive_order(flow, ReceiveOrder::Network)),
            _ if script.is_rare(10) => session.close(now),
            _ => {
                let address = Address::new(([192, 0, 2, 9], 9).into(), Origin::Observed);
                session.forward_hello(now, address, script.bytes(16));
            }
        }
    }

    fn drain(&mut self) {
        let far = &mut self.far;
        self.forger.drain(|event| {
            if let Event::Flow { event: FlowEvent::Opened { flow, .. }, .. } = event
                && far.len() < MAX_FLOWS_NOTED
            {
                far.push(*flow);
            }
        });
    }

    /// Whatever happened, an endpoint that is told to close is empty in the end.
    fn end(&mut self) {
        let now = self.forger.now;
        self.forger.endpoint.close_all(now);
        for _ in 0..40 {
            self.drain();
            self.forger.pass(Duration::from_secs(5));
        }
        assert_eq!(self.forger.endpoint.stats().sessions, 0, "sessions are left");
    }
}

fn pick(flows: &[u64], script: &mut Script<'_>) -> Option<u64> {
    (!flows.is_empty()).then(|| flows[script.below(flows.len())])
}

/// Chunks that are nearly right, or whatever the input holds.
fn put_chunks(out: &mut Vec<u8>, script: &mut Script<'_>) {
    for _ in 0..=script.below(4) {
        let kind = if script.is_rare(8) { script.byte() } else { KINDS[script.below(KINDS.len())] };
        put_chunk(out, kind, |out| match kind {
            0x10 => put_user_data(out, script),
            0x11 => {
                out.push(script.byte());
                out.extend_from_slice(script.bytes(60));
            }
            0x50 | 0x51 | 0x18 | 0x5e | 0xec => {
                (0..=script.below(6)).for_each(|_| put_vlu(out, script.number()));
            }
            _ => out.extend_from_slice(script.bytes(120)),
        });
    }
}

fn put_user_data(out: &mut Vec<u8>, script: &mut Script<'_>) {
    const METADATA: [u8; 4] = [2, 0, b'A', 0];
    out.push(script.byte() & 0x33 | 0x80);
    put_vlu(out, 1 + script.below(5) as u64);
    let sequence = script.number();
    put_vlu(out, sequence);
    put_vlu(out, script.number().min(sequence));
    if script.is_rare(40) {
        // A return association.
        out.extend([2, 0x0a, script.byte() & 7]);
    }
    out.extend(METADATA);
    out.extend_from_slice(script.bytes(60));
}
