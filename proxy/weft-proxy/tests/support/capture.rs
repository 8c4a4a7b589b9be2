//! Everything that passes the node, as bytes.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::net::Namespace;

const ETH_P_ALL: u16 = 3;

/// Runs until `finish`.
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Capture {
    pub fn start(node: &Namespace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let socket = node.run(|| {
            let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            socket.set_recv_buffer_size(8 << 20).unwrap();
            socket
        });
        let stopped = stop.clone();
        Self { stop, thread: std::thread::spawn(move || read(socket, &stopped)) }
    }

    /// All packets so far.
    pub fn finish(self) -> Packets {
        self.stop.store(true, Ordering::Relaxed);
        Packets(self.thread.join().unwrap())
    }
}

/// Reads until stopped and nothing more is there.
fn read(mut socket: Socket, stopped: &AtomicBool) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match socket.read(&mut buffer) {
            Ok(length) => packets.push(buffer[..length].to_vec()),
            Err(_) if stopped.load(Ordering::Relaxed) => return packets,
            Err(_) => {}
        }
    }
}

pub struct Packets(Vec<Vec<u8>>);

impl Packets {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a packet holds `text` as it is.
    pub fn show(&self, text: &str) -> bool {
        self.0.iter().any(|packet| packet.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}
