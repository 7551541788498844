//! The real programs, together, over real sockets. One binary, for they mostly wait for time to
//! pass and do so side by side.

mod bad_input;
mod channels;
mod demo_page;
mod fallback;
mod hls;
mod http;
mod judge;
mod page;
mod push;
mod qualities;
mod serve;
mod sources;
mod swarm;
