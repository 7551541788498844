//! Cookies: kept by nobody, good for one address, not to be forged.

use rtmfp::wire::Chunk;

use super::cases;
use crate::judge::{CaseResult, Context, Failure, Handshake, Probe, check, probe::hex};

/// No session is opened with a changed cookie, and one is with the cookie as it was. A Cookie
/// Change may come: RFC 7016 §3.5.1.2 tells a foreign cookie from a moved initiator's by a part of it.
fn refused(context: &Context, change: impl FnOnce(&mut Vec<u8>)) -> CaseResult {
    let mut handshake = Handshake::new(context)?;
    let good = handshake.hello.cookie.clone();
    change(&mut handshake.hello.cookie);
    let component = handshake.component()?;
    let chunk = handshake.keying_chunk(&component.bytes, b"X");
    handshake.hello.cookie = good;
    handshake.expect_refusal(&chunk, "a cookie that the server did not make")
}

/// An IIKeying with a cookie that was made for another socket: the Cookie Change, old and new.
fn moved(context: &Context) -> Result<(Handshake, Vec<u8>, Vec<u8>), Failure> {
    let mut handshake = Handshake::new(context)?;
    let elsewhere: Probe = context.probe()?;
    handshake.probe = elsewhere;
    let component = handshake.component()?;
    let chunk = handshake.keying_chunk(&component.bytes, b"X");
    handshake.send(&chunk);
    let near_id = handshake.near_id;
    let (old, new) =
        handshake.probe.expect("an RHello Cookie Change on our session ID", |packet, chunk| {
            match chunk {
                Chunk::CookieChange(change) if packet.session_id == near_id => {
                    Some((change.old_cookie.to_vec(), change.new_cookie.to_vec()))
                }
                _ => None,
            }
        })?;
    Ok((handshake, old, new))
}

cases! {
    "cookies.forged", "7016 §3.5.1.1.2", "an IIKeying with a cookie of random bytes is ignored", |context| {
        refused(context, |cookie| cookie.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x5a))
    };
    "cookies.first-bit", "7016 §3.5.1.1.2", "a cookie with its first bit turned is refused", |context| refused(context, |cookie| cookie.iter_mut().take(1).for_each(|byte| *byte ^= 0x80));
    "cookies.middle-bit", "7016 §3.5.1.1.2", "a cookie with a bit in its middle turned is refused", |context| refused(context, |cookie| { let at = cookie.len() / 4; cookie.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1); });
    "cookies.truncated", "7016 §3.5.1.1.2", "a truncated cookie is refused", |context| refused(context, |cookie| cookie.truncate(cookie.len() / 2));
    "cookies.extended", "7016 §3.5.1.1.2", "a cookie with bytes behind it is refused", |context| refused(context, |cookie| cookie.extend([0; 8]));
    "cookies.empty", "7016 §3.5.1.1.2", "an empty cookie is refused", |context| refused(context, Vec::clear);
    "cookies.change", "7016 §3.5.1.1.2", "a cookie from another address is answered with a Cookie Change", |context| {
        let (handshake, old, _) = moved(context)?;
        check(old == handshake.hello.cookie, "the old cookie in it", hex(&old))
    };
    "cookies.changed", "7016 §3.5.1.1.1", "the new cookie of a Cookie Change opens the session", |context| {
        let (mut handshake, _, new) = moved(context)?;
        handshake.hello.cookie = new;
        handshake.open().map(|_| ())
    };
    "cookies.older", "7016 §3.5.1.1.2", "an earlier cookie for the same address is still good", |context| {
        let mut handshake = Handshake::new(context)?;
        handshake.probe.hello()?;
        handshake.open().map(|_| ())
    };
}
