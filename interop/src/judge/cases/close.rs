//! How sessions end.

use std::time::Duration;

use rtmfp::{
    crypto::Identity,
    rtmp::Command,
    wire::{
        Chunk,
        chunk::{code, put_chunk},
    },
};

use super::cases;
use crate::judge::{CaseResult, Failure, Handshake, Session};

/// What is sent again at all is sent again within this, once round trips are known.
const LONGER_THAN_ERTO: Duration = Duration::from_millis(1500);

fn send_close(session: &mut Session) {
    session.send(|out| put_chunk(out, code::SESSION_CLOSE, |_| ()));
}

fn expect_ack(session: &mut Session) -> Result<(), Failure> {
    session.expect_unacked("a Session Close Acknowledgement", |_, chunk| {
        matches!(chunk, Chunk::SessionCloseAck).then_some(())
    })
}

fn close(session: &mut Session) -> CaseResult {
    send_close(session);
    expect_ack(session)
}

cases! {
    "close.acknowledged", "7016 §3.5.5", "a Close Request is acknowledged", |context| close(&mut context.session()?);
    "close.connected", "7016 §3.5.5", "a Close Request after connect is acknowledged", |context| close(&mut context.connected()?);
    "close.repeated", "7016 §3.5.5", "a repeated Close Request is acknowledged again", |context| {
        let mut session = context.session()?;
        close(&mut session)?;
        close(&mut session)
    };
    "close.silent-afterwards", "7016 §3.5.5", "a closed session answers no Ping", |context| {
        let mut session = context.session()?;
        close(&mut session)?;
        session.expect_gone("the session was closed")
    };
    "close.no-data-afterwards", "7016 §3.5.5", "a closed session does not repeat what was not acknowledged", |context| {
        let mut session = context.connected()?;
        session.call(&Command::new("createStream", 3.0, Vec::new()));
        if context.reception.is_none() {
            session.expect_unacked("an answer", |_, chunk| matches!(chunk, Chunk::UserData(_)).then_some(()))?;
        }
        send_close(&mut session);
        expect_ack(&mut session)?;
        session.expect_none_within(LONGER_THAN_ERTO, "the session was closed", |chunk| matches!(chunk, Chunk::UserData(_)))
    };
    "close.abrupt", "7016 §3.5.5", "a Close Acknowledgement out of the blue ends the session", |context| {
        let mut session = context.session()?;
        session.send(|out| put_chunk(out, code::SESSION_CLOSE_ACK, |_| ()));
        session.expect_no("an abrupt close", |chunk| matches!(chunk, Chunk::PingReply(_)))?;
        session.expect_gone("an abrupt close")
    };
    "close.others-live", "7016 §3.5.5", "closing one session leaves another open", |context| {
        let (mut one, mut other) = (context.session()?, context.session()?);
        close(&mut one)?;
        other.prove()
    };
    "close.reconnect", "7016 §3.5.5", "after closing, the same client at the same address can open a new session", |context| {
        if context.reception.is_some() {
            close(&mut context.session()?)?;
            return context.connected().map(|_| ());
        }
        let identity = || { use rand::SeedableRng; Identity::peer(&mut rand::rngs::StdRng::seed_from_u64(78)) };
        let mut old = Handshake::with_identity(context, identity())?.open()?;
        close(&mut old)?;
        Handshake::at(old.probe.again()?, identity())?.open()?.prove()
    };
}
