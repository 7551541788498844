//! Servers that answer `ICY 200 OK`, as SHOUTcast and its heirs do: to the HTTP library it is made
//! `HTTP/1.0 200 OK`.

use ureq::{
    Error,
    unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport},
};

const ICY: &[u8] = b"ICY ";
const HTTP: &[u8] = b"HTTP/1.0 ";

/// Wraps every connection.
#[derive(Debug)]
pub struct IcyConnector;

impl<In: Transport> Connector<In> for IcyConnector {
    type Out = Icy<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Icy { inner, is_answered: false }))
    }
}

/// A connection whose answer is looked at.
#[derive(Debug)]
pub struct Icy<T> {
    inner: T,
    is_answered: bool,
}

impl<T: Transport> Transport for Icy<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.is_answered = false;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let more = self.inner.await_input(timeout)?;
        let buffers = self.inner.buffers();
        if !self.is_answered && buffers.input().len() >= ICY.len() {
            self.is_answered = true;
            call_it_http(buffers);
        }
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn call_it_http(buffers: &mut dyn Buffers) {
    let Some(rest) = buffers.input().strip_prefix(ICY) else { return };
    let answer = [HTTP, rest].concat();
    let seen = buffers.input().len();
    buffers.input_consume(seen);
    let room = buffers.input_append_buf();
    if let Some(room) = room.get_mut(..answer.len()) {
        room.copy_from_slice(&answer);
        buffers.input_appended(answer.len());
    }
}
