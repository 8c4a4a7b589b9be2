//! Real servers that nobody marked as opaque, through two proxies: those that speak first, and those that wait.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::cluster::{Cluster, service};
use support::net::{SERVER, missing};
use support::programs::{PROGRAMS, Program, Running, Step};

const STARTS: Duration = Duration::from_secs(60);
/// Some look up the name of their client first, which takes its time where nobody answers.
const ANSWERS: Duration = Duration::from_secs(20);

/// Holds the whole conversation; the error says where it ended.
fn talk(to: SocketAddr, steps: &[Step]) -> Result<(), String> {
    let mut stream = TcpStream::connect(to).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWERS)).unwrap();
    let mut heard = Vec::new();
    for step in steps {
        match step {
            Step::Say(bytes) => stream.write_all(bytes).map_err(|e| e.to_string())?,
            Step::Close => stream.shutdown(Shutdown::Write).map_err(|e| e.to_string())?,
            Step::Hear(wanted) => hear(&mut stream, &mut heard, wanted)?,
        }
    }
    Ok(())
}

/// Reads until `wanted` was said; what came before it is done with.
fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>, wanted: &[u8]) -> Result<(), String> {
    loop {
        if let Some(at) = heard.windows(wanted.len()).position(|w| w == wanted) {
            heard.drain(..at + wanted.len());
            return Ok(());
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => heard.extend_from_slice(&buffer[..n]),
            ended => {
                let (wanted, heard) = (String::from_utf8_lossy(wanted), String::from_utf8_lossy(heard));
                return Err(format!("{ended:?} instead of {wanted:?} after {heard:?}"));
            }
        }
    }
}

fn wait_until_it_answers(program: &Program, running: &Running, mesh: &Cluster) {
    let started = Instant::now();
    loop {
        let (to, steps) = ((SERVER[0], program.port).into(), program.talk);
        let Err(why) = mesh.net.server.run(move || talk(to, steps)) else { return };
        assert!(started.elapsed() < STARTS, "{} does not start: {why}\n{}", program.name, running.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Databases, queues and mail work through the mesh as they are, by IPv4 and IPv6, and none waits for the other side.
#[test]
fn servers_that_people_run_need_no_marks() {
    if let Some(reason) = missing() {
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
        return;
    }
    let mesh = Cluster::start();
    for program in &PROGRAMS {
        if !program.is_installed() {
            let _ = writeln!(std::io::stderr(), "skipped: {} is not installed", program.name);
            continue;
        }
        let running = Running::start(program, &mesh.net.server);
        wait_until_it_answers(program, &running, &mesh);
        for to in service(program.port) {
            let (started, steps) = (Instant::now(), program.talk);
            let talked = mesh.net.client.run(move || talk(to, steps));
            assert_eq!(Ok(()), talked, "{} at {to}\n{}", program.name, mesh.client.log());
            let _ = writeln!(std::io::stderr(), "{} at {to}: {:?}", program.name, started.elapsed());
        }
    }
    assert!(mesh.client.metric(&["weft_tcp_opened_total", "tls=\"true\"", "outbound"]) > 0.0);
}
