//! A connection from when it is accepted: it counts for the drain, and may not be idle for ever, whatever it becomes.

use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::detect;
use crate::drain::Live;
use crate::io::Io;
use crate::socket;
use crate::vigil::Vigil;
use crate::worker::Worker;

/// What a server says first is read into so much.
const FIRST_WORDS: usize = 1024;

pub struct Stay {
    pub vigil: Rc<Vigil>,
    pub live: Live,
}

/// Who speaks first.
pub enum Speaker {
    Client,
    /// With what it says; nothing when it ends.
    Server(BytesMut),
    /// Neither, for too long: both are reset.
    Nobody,
}

impl Stay {
    pub fn begin(worker: &Worker) -> Self {
        Self { vigil: worker.vigils.begin(), live: worker.shared.drain.live() }
    }

    /// Waits for the first bytes of a client that will speak, or its end. False: none come in time, or before the proxy
    /// leaves.
    pub async fn is_spoken(&mut self, client: &TcpStream, buf: &mut BytesMut) -> io::Result<bool> {
        tokio::select! {
            biased;
            read = detect::read_some(client, buf) => read.map(|_| true),
            () = self.vigil.overdue() => Ok(false),
            () = self.live.told() => Ok(false),
        }
    }

    /// Waits for whoever speaks first.
    pub async fn first_words(&self, client: &TcpStream, server: &mut Io) -> Speaker {
        let mut words = BytesMut::with_capacity(FIRST_WORDS);
        tokio::select! {
            biased;
            _ = client.readable() => Speaker::Client,
            // Its end, if it is one, shows when copying.
            _ = server.read_buf(&mut words) => Speaker::Server(words),
            () = self.vigil.overdue() => {
                // As when copying: an end would say that this is all there is.
                let _ = socket::reset(client);
                server.reset();
                Speaker::Nobody
            }
        }
    }
}
